//! Bytes in, an unpacked kernel or an error out: never more bytes than the file admits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus::domain::gzip::{Gzip, Sink, Workspace};
use portunus::domain::image::File;

struct Count(u64);

impl Sink for Count {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.0 += bytes.len() as u64;
        true
    }
}

const LIMIT: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let mut workspace = Workspace::new();
    if let Ok(gzip) = Gzip::open(bytes, LIMIT) {
        let mut count = Count(0);
        let unpacked = gzip.unpack(&mut workspace, &mut count);
        assert!(count.0 <= gzip.size() && (unpacked.is_err() || count.0 == gzip.size()));
    }
    if let Ok((File::Gzip(gzip), kernel)) = File::open(bytes, LIMIT, &mut None) {
        let mut count = Count(0);
        let _ = gzip.unpack(&mut workspace, &mut count);
        assert!(count.0 <= kernel.size);
    }
});
