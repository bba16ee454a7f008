"""For all tests."""

from hypothesis import HealthCheck, settings

# On a fresh machine the first draw of a character builds Unicode's tables, which takes seconds beside another process;
# how long a draw takes says nothing about a strategy here.
settings.register_profile("hub", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("hub")
