"""What can go wrong for the person who runs tladapt; each error says what was expected, what came, what to do."""


class TladaptError(Exception):
    """Base of every error that tladapt raises for people; the command line shows its message alone and exits with 2."""


class UsageError(TladaptError, ValueError):
    """An argument, a configuration or an array that cannot be used as it is."""


class UnknownNameError(UsageError):
    """A name that is not registered; the message lists the close ones."""


class MissingDataError(TladaptError, FileNotFoundError):
    """A file that has to be there and is not: the message says which, where to get it and where to put it."""


class DamagedDataError(TladaptError, ValueError):
    """A file that is there and cannot be trusted: truncated, garbled, or not the released one by its checksum."""


class MissingPackageError(TladaptError, ImportError):
    """An optional package that is needed here; the message names the extra that installs it."""


class RunFolderError(TladaptError, OSError):
    """A run's folder that cannot be written, read or resumed."""


class DivergenceError(TladaptError, ArithmeticError):
    """A loss or a parameter left the finite numbers; the message names the step and the term."""
