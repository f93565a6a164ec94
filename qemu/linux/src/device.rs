//! `/dev/xen/evtchn`, the driver `xen-evtchn` of Linux.
//!
//! The interface is Linux's include/uapi/xen/evtchn.h. An event is a `u32` port number to `read`; the port stays masked
//! until the number is written back. `IOCTL_EVTCHN_BIND_STATIC` takes a port that exists already, and leaves it alive
//! when the file is closed: that is what a static channel needs, and it came with Linux 6.5.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::{Events, Failure};

const PATH: &str = "/dev/xen/evtchn";

/// `_IOC(_IOC_NONE, 'E', 4, 4)`: signals the other end; takes a port.
const NOTIFY: u32 = 0x0004_4504;
/// `_IOC(_IOC_NONE, 'E', 7, 4)`: binds an existing port; takes it.
const BIND_STATIC: u32 = 0x0004_4507;

const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;
const EISCONN: i32 = 106;
const POLLIN: i16 = 1;

/// The type that the C library gives to a request number.
#[cfg(target_env = "musl")]
type Request = c_int;
#[cfg(not(target_env = "musl"))]
type Request = std::ffi::c_ulong;

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

unsafe extern "C" {
    fn ioctl(fd: c_int, request: Request, ...) -> c_int;
    fn poll(fds: *mut PollFd, count: std::ffi::c_ulong, milliseconds: c_int) -> c_int;
}

/// The open device.
pub struct Device {
    file: File,
    /// Ports that were read and not handed out yet.
    arrived: VecDeque<u32>,
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// It is not there or may not be used, and what to do.
    pub fn open() -> Result<Self, Failure> {
        let opened = OpenOptions::new().read(true).write(true).open(PATH);
        let file = opened.map_err(|error| Failure::new(why_not_open(&error)))?;
        Ok(Self { file, arrived: VecDeque::new() })
    }

    fn control(&self, request: u32, port: u32) -> io::Result<()> {
        // The cast keeps the bits: both requests are below 2^31.
        let request = request as Request;
        // SAFETY: both requests take the address of a struct of one u32, read it during the call, and keep nothing.
        let answer = unsafe { ioctl(self.file.as_raw_fd(), request, &raw const port) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether there is something to read within `limit`.
    fn readable(&self, limit: Duration) -> io::Result<bool> {
        let mut request = PollFd { fd: self.file.as_raw_fd(), events: POLLIN, revents: 0 };
        // Rounded up, so that a short limit is not a busy loop.
        let milliseconds = c_int::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX);
        // SAFETY: one entry is passed and one is there; it outlives the call.
        let answer = unsafe { poll(&raw mut request, 1, milliseconds) };
        match answer {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn why_not_open(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::NotFound => {
            "the driver is not loaded: run `modprobe xen-evtchn`. If that says \"No such device\", the domain does not \
             see its hypervisor: its node needs xen,enhanced = \"no-xenstore\""
        }
        ErrorKind::PermissionDenied => "only root may open it: run this as root",
        _ => "is this a Xen guest (does /sys/hypervisor/type say xen)?",
    };
    format!("{PATH}: {error}\n{advice}")
}

fn why_not_bound(port: u32, error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(ENOTTY | ENOSYS | EINVAL) => {
            "this kernel cannot bind a static port: IOCTL_EVTCHN_BIND_STATIC needs Linux 6.5 or newer"
        }
        Some(EISCONN) => "the port was named twice",
        _ => "is the port one of this domain's, and below 4096?",
    };
    format!("binding port {port}: {error}\n{advice}")
}

impl Events for Device {
    fn bind(&mut self, port: u32) -> Result<(), Failure> {
        self.control(BIND_STATIC, port).map_err(|error| Failure::new(why_not_bound(port, &error)))
    }

    fn notify(&mut self, port: u32) -> Result<(), Failure> {
        self.control(NOTIFY, port).map_err(|error| Failure::io(&format!("signalling on port {port}"), &error))
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<u32>, Failure> {
        if let Some(port) = self.arrived.pop_front() {
            return Ok(Some(port));
        }
        match self.readable(limit) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(Failure::io("waiting for an event", &error)),
        }
        let mut bytes = [0; 256];
        let read = self.file.read(&mut bytes).map_err(|error| Failure::io("reading events", &error))?;
        let ports = bytes.get(..read).unwrap_or_default().chunks_exact(4);
        self.arrived.extend(ports.filter_map(|port| port.try_into().ok()).map(u32::from_ne_bytes));
        Ok(self.arrived.pop_front())
    }

    fn rearm(&mut self, port: u32) -> Result<(), Failure> {
        let written = self.file.write_all(&port.to_ne_bytes());
        written.map_err(|error| Failure::io(&format!("unmasking port {port}"), &error))
    }
}
