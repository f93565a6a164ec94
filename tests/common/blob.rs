//! Blobs made token by token: larger, or more wrong, than dtc would make them.

use portunus::fdt::MAX_SIZE;

/// A structure block in the making. Every name is used once at most in the strings block.
pub struct Blob {
    /// Tokens so far.
    pub structs: Vec<u8>,
    strings: Vec<u8>,
    names: Vec<(String, u32)>,
    reservations: Vec<u8>,
}

#[allow(clippy::new_without_default, reason = "a test helper")]
impl Blob {
    pub fn new() -> Self {
        Self { structs: Vec::new(), strings: Vec::new(), names: Vec::new(), reservations: Vec::new() }
    }
    pub fn token(&mut self, token: u32) -> &mut Self {
        self.structs.extend(token.to_be_bytes());
        self
    }
    pub fn begin(&mut self, name: &str) -> &mut Self {
        self.token(1).structs.extend(name.bytes().chain([0]));
        self.structs.resize(self.structs.len().next_multiple_of(4), 0);
        self
    }
    pub fn end(&mut self) -> &mut Self {
        self.token(2)
    }
    pub fn prop(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let at = match self.names.iter().find(|(known, _)| known == name) {
            Some((_, at)) => *at,
            None => {
                let at = self.strings.len() as u32;
                self.strings.extend(name.bytes().chain([0]));
                self.names.push((name.to_owned(), at));
                at
            }
        };
        self.token(3).token(value.len() as u32).token(at).structs.extend(value);
        self.structs.resize(self.structs.len().next_multiple_of(4), 0);
        self
    }
    pub fn cells(&mut self, name: &str, cells: &[u32]) -> &mut Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.prop(name, &value)
    }
    /// Entries of the memory reservation block.
    pub fn reserve(&mut self, entries: impl Iterator<Item = (u64, u64)>) -> &mut Self {
        let bytes = entries.flat_map(|(address, size)| [address.to_be_bytes(), size.to_be_bytes()].concat());
        self.reservations.extend(bytes);
        self
    }
    pub fn has_room(&self) -> bool {
        self.structs.len() + self.strings.len() < MAX_SIZE - 4096
    }
    /// A board that can be run on; the root stays open.
    pub fn board() -> Self {
        let mut blob = Self::new();
        blob.begin("")
            .cells("#address-cells", &[2])
            .cells("#size-cells", &[2])
            .cells("interrupt-parent", &[1]);
        blob.begin("cpus").cells("#address-cells", &[1]).cells("#size-cells", &[0]);
        for cpu in 0..8 {
            blob.begin(&format!("cpu@{cpu}")).prop("device_type", b"cpu\0").cells("reg", &[cpu]).end();
        }
        blob.end().begin("memory").prop("device_type", b"memory\0").cells("reg", &[0, 0, 0x40, 0]).end();
        blob.begin("timer").prop("compatible", b"arm,armv8-timer\0");
        blob.cells("interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]).end();
        blob.begin("gic").prop("compatible", b"arm,gic-v3\0").prop("interrupt-controller", b"");
        blob.cells("#interrupt-cells", &[3]).cells("phandle", &[1]).cells("interrupts", &[1, 9, 4]);
        blob.cells("reg", &[0x50, 0, 0, 0x1_0000, 0x50, 0x10_0000, 0, 0x10_0000]).end();
        blob
    }
    pub fn domain(&mut self, name: &str, phandle: u32) -> &mut Self {
        self.begin(name).prop("compatible", b"xen,domain\0").cells("memory", &[0, 0x800]).cells("cpus", &[1]);
        self.cells("phandle", &[phandle])
    }
    pub fn kernel(&mut self, name: &str, address: u32) -> &mut Self {
        self.begin(name).prop("compatible", b"multiboot,kernel\0multiboot,module\0");
        self.cells("reg", &[0, address, 0, 0x1000]).end()
    }
    pub fn build(&mut self) -> Vec<u8> {
        self.end().token(9);
        let structs_at = 56 + self.reservations.len();
        let strings_at = structs_at + self.structs.len();
        let total = strings_at + self.strings.len();
        assert!(total <= MAX_SIZE);
        let sizes = [self.strings.len() as u32, self.structs.len() as u32];
        let [structs, strings, reservations] = [structs_at as u32, strings_at as u32, 40];
        let header =
            [0xd00d_feed, total as u32, structs, strings, reservations, 17, 16, 0, sizes[0], sizes[1]];
        let mut blob: Vec<u8> = header.iter().flat_map(|field: &u32| field.to_be_bytes()).collect();
        blob.extend(&self.reservations);
        blob.extend([0; 16]);
        blob.extend(&self.structs);
        blob.extend(&self.strings);
        blob
    }
}
