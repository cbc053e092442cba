from .book cimport BookSnapshot, Side
from .defs cimport FAILED, Status
from .market cimport Number


cdef Status set_decimal(Number* number, object value) except FAILED
