from .defs cimport FAILED, Status
from .stores cimport Stores


cdef Status take_instrument(Stores stores, bint snapshot) except FAILED
cdef Status take_status(Stores stores) except FAILED
cdef Status take_ack(Stores stores) except FAILED
