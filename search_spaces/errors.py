"""Every error a user can cause, each one clear line.

They live in the lowest package so that all three may raise them. Each also inherits the
builtin a caller would catch. `exit_code` is what the command line returns.
"""


class AutopromptError(Exception):
    """Base of every error a user can cause or has to act on."""

    exit_code = 1


class BadInputError(AutopromptError, ValueError):
    """What was asked cannot be done as written; nothing was started or stored."""

    exit_code = 2


class ConfigError(BadInputError):
    """A configuration or search space that does not parse or does not make sense."""


class DataError(BadInputError):
    """A data set that is missing, incomplete or does not fit the task."""


class ModelError(BadInputError):
    """A model that cannot be found, read, or used for the plan asked of it."""


class StoreError(BadInputError):
    """A database that cannot be opened, or whose schema is not this version's."""


class SearchNotFoundError(StoreError, LookupError):
    """No search in the store answers to that id or name."""


class DatabaseLostError(AutopromptError, ConnectionError):
    """The database stopped answering, or taking writes, in the middle of the work."""


class FetchError(AutopromptError, ConnectionError):
    """Files that cannot be had from the package index, or are not what they were."""


class SearchFailedError(AutopromptError, RuntimeError):
    """A search ran and ended without a single usable trial."""


class SearchTakenError(AutopromptError, RuntimeError):
    """Another controller has taken the search over; this one must not write to it any more."""


class SearchUnfinishedError(BadInputError):
    """A search that has not ended, or ended without a usable trial, was asked for its answer."""


class ClusterError(BadInputError):
    """A Ray cluster that cannot be reached, refuses, or is of another version."""


class JobNotFoundError(ClusterError, LookupError):
    """No job on the cluster answers to that search or id."""


class UploadFailedError(AutopromptError, RuntimeError):
    """A folder did not reach the Hub, or not all of it."""


class JobFailedError(AutopromptError, RuntimeError):
    """A search's job ended by itself, and not well."""
