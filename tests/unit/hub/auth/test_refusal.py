import pytest

from actors.messages import ErrorCode
from hub.auth.refusal import RefusalCode, TokenRefused


@pytest.mark.parametrize(
    ("code", "status"), [("token_invalid", 401), ("token_expired", 401), ("forbidden", 403), ("unavailable", 503)]
)
def test_every_code_has_its_status_and_is_one_of_the_wire(code: RefusalCode, status: int) -> None:
    refused = TokenRefused(code, "why")
    assert (refused.status, str(refused)) == (status, "why")
    assert ErrorCode(code)
