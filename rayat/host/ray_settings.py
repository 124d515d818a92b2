"""What Ray reads from the environment where rayat starts or joins it. None changes a result."""

from __future__ import annotations

import os

AUTH_MODE = "RAY_AUTH_MODE"
LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for single-machine use; off, every port of every process is bound to 127.0.0.1."""
TOKEN = "token"
"""Whoever reaches a Ray port runs code; the token is the lock."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a FutureWarning
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative data paths stay valid in workers
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # a report is consumed once per interval
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    # A hung worker does not take part in the shutdown; the default is half a minute.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the record
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # How long a process may take to leave one trial before it serves the next. By default 2 s, more
    # than which a busy machine needs; Tune then throws the process away, and the trial with it.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "300",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours stops the trials and keeps everything durable
    "RAY_AIR_NEW_OUTPUT": "0",
}


def settle() -> None:
    """Set what the user did not. Ray reads it when it is started, joined or given work.

    Ray hands the settings of Tune and Train on to its workers.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def settle_token() -> bool:
    """Turn token authentication on unless the user said which; return whether that changed it."""
    changed = AUTH_MODE not in os.environ
    os.environ.setdefault(AUTH_MODE, TOKEN)
    return changed
