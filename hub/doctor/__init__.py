"""What `hub doctor` looks at. Probes ask and change nothing; checks turn what they heard into findings."""
