"""The only room that imports Ray: sweeps, trials, trainers, the scheduler adapter.

Ray reads these variables when it is imported or when it starts processes, so they are set here,
before any module of the room imports it. None of them changes a result.
"""

import os
import sys

_SETTINGS = {
    "RAY_AUTH_MODE": "token",  # whoever reaches a Ray port runs code; the token is the lock
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
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours stops the trials and keeps everything durable
    "TUNE_WARN_THRESHOLD_S": "5",
    "RAY_AIR_NEW_OUTPUT": "0",
}
if "ray" in sys.modules:
    # Ray read its authentication mode when it was imported, and a local Ray turns the token on by
    # itself (since 2.59): a variable set now would reach only the processes started later.
    _SETTINGS.pop("RAY_AUTH_MODE")
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
