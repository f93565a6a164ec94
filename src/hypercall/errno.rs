//! Error numbers of the Xen ABI (xen/include/public/errno.h). They are Xen's own, whatever the guest's kernel uses.

/// An error a hypercall can answer with. The guest sees the negated number in x0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// The caller may not do this.
    EPERM = 1,
    /// There is no such thing, for instance no such vCPU.
    ENOENT = 2,
    /// There is no such domain.
    ESRCH = 3,
    /// The address is malformed or crosses a page.
    ENXIO = 6,
    /// The request is longer than the interface allows.
    E2BIG = 7,
    /// The interface is refused, or spoken in another version.
    EACCES = 13,
    /// A guest pointer could not be read or written.
    EFAULT = 14,
    /// It is in use already.
    EBUSY = 16,
    /// It is bound already.
    EEXIST = 17,
    /// An argument makes no sense.
    EINVAL = 22,
    /// No port, or no timer, is left.
    ENOSPC = 28,
    /// A number is out of the domain of the function.
    EDOM = 33,
    /// The operation does not exist.
    ENOSYS = 38,
    /// The string is empty.
    ENODATA = 61,
    /// A continuation index is beyond the end of the batch.
    EILSEQ = 84,
    /// The operation exists and is not offered here.
    EOPNOTSUPP = 95,
    /// The caller's buffer is too short.
    ENOBUFS = 105,
}

impl Errno {
    /// What x0 carries: the negated number, sign-extended.
    #[must_use]
    pub const fn code(self) -> i64 {
        -(self as i32 as i64)
    }
}
