"""TCP options with which the kernel detects a dead peer."""

from __future__ import annotations

import socket


def watchful(*, notice_s: int) -> dict[int, int]:
    """Return options, for level IPPROTO_TCP, that time out after `notice_s` (at least 2) seconds.

    If packets are lost without a reset, keepalive alone is not enough: it does not run while sent
    bytes wait for an acknowledgement. TCP_USER_TIMEOUT (RFC 5482) bounds both. macOS does not have
    it and retransmits for minutes.
    """
    wanted = {
        "TCP_KEEPIDLE": notice_s // 2,
        "TCP_KEEPINTVL": max(1, notice_s // 4),
        "TCP_KEEPCNT": 2,
        "TCP_USER_TIMEOUT": notice_s * 1000,
    }
    return {getattr(socket, k): v for k, v in wanted.items() if hasattr(socket, k)}
