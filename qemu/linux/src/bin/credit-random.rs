//! Makes the kernel's generator of random numbers ready, with bytes that are always the same: for measurements, where
//! kernels are compared of which one was given a seed and the other was not.

use std::ffi::c_int;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

/// `RNDADDENTROPY` (Linux, include/uapi/linux/random.h): `_IOW('R', 3, int [2])`.
const ADD_ENTROPY: u32 = 0x4008_5203;

/// `struct rand_pool_info`, with room for what makes Linux ready: 256 bits.
#[repr(C)]
struct Pool {
    bits: c_int,
    bytes: c_int,
    words: [u32; 8],
}

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
}

fn credit() -> io::Result<()> {
    let device = OpenOptions::new().write(true).open("/dev/random")?;
    let pool = Pool { bits: 256, bytes: 32, words: [0x5eed_5eed; 8] };
    // SAFETY: the request takes the address of such a struct, and reads as many bytes behind it as it says.
    let answer = unsafe { ioctl(device.as_raw_fd(), ADD_ENTROPY as c_int, &raw const pool) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn main() -> ExitCode {
    match credit() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("credit-random: /dev/random: {error}");
            ExitCode::FAILURE
        }
    }
}
