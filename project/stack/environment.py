"""The environment variables of the stack's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from project.stack.local_dir import LocalDir, write_private
from project.stack.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from project.stack.external import External
    from project.stack.secrets import Secrets


def stack_environment(
    *,
    local: LocalDir,
    secrets: Secrets,
    external: External,
    database_url: str,
    redis_url: str,
    ports: Mapping[str, int],
) -> dict[str, str]:
    """Return each variable that the stack sets. project/env.py documents them.

    Args:
        local: The data folder.
        secrets: The generated secrets.
        external: The services that the user's environment names.
        database_url: The database in use, embedded or external.
        redis_url: The Redis in use, embedded or external.
        ports: The ports of `web`, `flower` and, if it runs, `sandbox`.
    """
    web = ports["web"]
    values = {
        "LOCAL_DIR": str(local.root),
        "LOCAL_STACK": "1",
        "DEBUG": "false",
        "HTTPS": "false",
        "SECRET_KEY": secrets.secret_key,
        "COOKIE_SUFFIX": secrets.cookie_suffix,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ALLOWED_HOSTS": f"{HOST},localhost",
        "CSRF_TRUSTED_ORIGINS": f"http://{HOST}:{web},http://localhost:{web}",
        "FLOWER_URL": f"http://{HOST}:{ports['flower']}/",
        "SITE_URL": f"http://{HOST}:{web}",
    }
    if external.sandbox:
        values |= {
            "PROVIDER": "sandbox",
            "ANTHROPIC_API_KEY": "sandbox-needs-no-key",
            "ANTHROPIC_BASE_URL": f"http://{HOST}:{ports['sandbox']}",
        }
    else:
        # A gateway may need no key, but the SDK does not start without one.
        values |= {"PROVIDER": "anthropic", "ANTHROPIC_API_KEY": external.api_key or "unused"}
        if external.base_url:
            values["ANTHROPIC_BASE_URL"] = external.base_url
    return values


def write_env_file(local: LocalDir, values: Mapping[str, str]) -> None:
    """Write the file with which `manage.py` in another terminal uses this stack.

    The values are quoted for dotenv with single quotes. Inside them only single quotes and
    backslashes need escaping.
    """
    lines = []
    for name, value in values.items():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}='{escaped}'\n")
    write_private(local.env_file, "".join(lines))
