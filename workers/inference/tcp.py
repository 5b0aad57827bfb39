"""TCP options by which the kernel notices a peer that is gone without a word."""

from __future__ import annotations

import socket


def watchful(*, notice_s: int) -> dict[int, int]:
    """Options, for level IPPROTO_TCP, of a socket that gives up a dead path.

    Where packets get lost and no reset comes, keepalive alone does not do: it does not run while
    bytes of ours wait for an acknowledgement. TCP_USER_TIMEOUT (RFC 5482) bounds both. macOS does
    not have it: there the bytes are sent again for minutes.

    Args:
        notice_s: Whole seconds without an acknowledgement after which the connection fails; at
            least 2.
    """
    wanted = {
        "TCP_KEEPIDLE": notice_s // 2,
        "TCP_KEEPINTVL": max(1, notice_s // 4),
        "TCP_KEEPCNT": 2,
        "TCP_USER_TIMEOUT": notice_s * 1000,
    }
    return {getattr(socket, k): v for k, v in wanted.items() if hasattr(socket, k)}
