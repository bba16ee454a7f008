"""Everything that `hub doctor` looks at, in the order in which an operator would."""

import resource
import sys
from urllib.parse import quote

from hub.config import Settings, SettingsError
from hub.doctor.certificate import check_certificate, utc_now
from hub.doctor.data_dir import check_data_dir, look_at_data_dir
from hub.doctor.finding import Finding, error
from hub.doctor.key_set import check_key_set
from hub.doctor.open_files import check_open_files
from hub.doctor.origins import check_origins
from hub.doctor.port import check_port, look_at_port
from hub.doctor.redis import examine_redis
from hub.doctor.secrets import check_secrets
from hub.doctor.settings import check_settings
from hub.doctor.workers import check_workers, cores


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything. Takes seconds at most; each wait has a deadline, and nothing is changed anywhere."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        *check_settings(settings),
        *check_workers(settings, cores(), spreads=sys.platform == "linux"),
        *check_origins(settings),
        *check_secrets(settings),
        *await check_key_set(settings),
        *check_certificate(settings, utc_now()),
        *check_port(settings, await look_at_port(settings)),
        *check_open_files(settings, hard_limit),
        *await _examine_store(settings),
    ]


def bad_settings(reason: SettingsError) -> list[Finding]:
    """Return a finding for each setting that is wrong; without settings there is nothing else to look at."""
    return [error("settings", line, "mend it; the hub doesn't start so") for line in reason.lines]


async def _examine_store(settings: Settings) -> list[Finding]:
    if settings.redis_url is not None:
        return await examine_redis(settings, settings.redis_url)
    found = look_at_data_dir(settings.data_dir)
    findings = list(check_data_dir(found))
    if found.listening:
        findings += await examine_redis(settings, f"unix://{quote(str(found.socket))}")
    return findings
