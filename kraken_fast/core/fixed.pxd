from libc.stdint cimport int64_t

from .defs cimport Status


cdef enum:
    SCALE_MAX = 18           # 10**18 is the largest power of ten in an int64
    FIXED_TEXT_MAX = 48      # sign, 19 digits, point, zeros in front up to SCALE_MAX, terminator


# mantissa * 10**-digits at another number of decimals; REFUSED when it does not fit exactly.
cdef Status rescale(int64_t mantissa, int digits, int scale, int64_t* out) noexcept nogil
# Plain decimal text with exactly `scale` decimals into buf (FIXED_TEXT_MAX bytes); returns its length.
cdef int write_fixed(char* buf, int64_t mantissa, int scale) noexcept nogil
cdef object fixed_decimal(int64_t mantissa, int scale)
cdef double fixed_float(int64_t mantissa, int scale) noexcept nogil
