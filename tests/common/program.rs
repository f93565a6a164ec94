//! Trees made by a small machine whose program are the bytes of a fuzzer. Unlike bytes of a blob, every program makes a
//! well-formed tree, and most instructions say something that the plan listens to.

use super::blob::Blob;
use super::words::{NODES, PROPERTIES, VALUES};

/// The deepest nesting that a program can make.
const DEPTH: usize = 28;
/// Bytes of values and nodes that a program can make.
const SIZE: usize = 1 << 20;

/// A node in the making.
struct Node {
    name: String,
    props: Vec<(&'static str, Vec<u8>)>,
    children: Vec<Node>,
}

impl Node {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), props: Vec::new(), children: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.props.push((name, value.into()));
        self
    }

    fn compatible(self, value: &str) -> Self {
        self.with("compatible", format!("{value}\0"))
    }

    fn cells(self, name: &'static str, cells: &[u32]) -> Self {
        self.with(name, bytes(cells))
    }

    fn emit(&self, blob: &mut Blob) {
        blob.begin(&self.name);
        self.props.iter().for_each(|(name, value)| {
            blob.prop(name, value);
        });
        self.children.iter().for_each(|child| child.emit(blob));
        blob.end();
    }
}

fn bytes(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

fn kernel(place: u8) -> Node {
    let address = 0x10_0000 + (u32::from(place) << 12);
    Node::new("k").compatible("multiboot,kernel\0multiboot,module").cells("reg", &[0, address, 0, 0x1000])
}

/// The program, and the nodes that are open: the last one is what instructions work on.
struct Machine<'b> {
    program: &'b [u8],
    open: Vec<Node>,
    size: usize,
}

/// Runs a program: a board or an empty root, then `/chosen`, then what the bytes say.
pub fn run(program: &[u8]) -> Vec<u8> {
    let chosen = Node::new("chosen").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    let mut machine = Machine { program, open: vec![Node::new(""), chosen], size: 0 };
    let board = machine.byte() & 3 != 0;
    while !machine.program.is_empty() && machine.size < SIZE {
        machine.step();
    }
    while machine.open.len() > 1 {
        machine.close();
    }
    let root = machine.open.remove(0);
    let mut blob = if board { Blob::board() } else { Blob::new() };
    if !board {
        blob.begin("");
        root.props.iter().for_each(|(name, value)| {
            blob.prop(name, value);
        });
    }
    root.children.iter().for_each(|child| child.emit(&mut blob));
    blob.build()
}

impl Machine<'_> {
    /// The next byte; 0 behind the end.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.program.split_first() else { return 0 };
        self.program = rest;
        *first
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[usize::from(self.byte()) % words.len()]
    }

    /// Small numbers, and those that mean something as an address.
    fn cell(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=199 => small.into(),
            page @ 200..=229 => (u32::from(page) - 199) << 20,
            230..=239 => 0x4000_0000,
            240..=249 => 4095 + u32::from(self.byte() & 1),
            _ => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        format!("{}\0", self.word(VALUES)).into_bytes()
    }

    fn set(&mut self, name: &'static str, value: Vec<u8>) {
        self.size += 16 + value.len();
        if let Some(node) = self.open.last_mut() {
            node.props.push((name, value));
        }
    }

    fn add(&mut self, child: Node) {
        self.size += 256;
        if let Some(node) = self.open.last_mut() {
            node.children.push(child);
        }
    }

    /// Closes the node that is open; the root stays.
    fn close(&mut self) {
        if self.open.len() > 1 {
            let node = self.open.pop();
            node.into_iter().for_each(|node| self.add(node));
        }
    }

    fn begin(&mut self, node: Node) {
        if self.open.len() < DEPTH {
            self.open.push(node);
        }
    }

    fn step(&mut self) {
        match self.byte() % 12 {
            0 => {
                let name = self.word(NODES);
                self.begin(Node::new(name));
            }
            1 | 2 => self.close(),
            3 => {
                let (name, count) = (self.word(PROPERTIES), self.byte() % 9);
                let cells: Vec<u32> = (0..count).map(|_| self.cell()).collect();
                self.set(name, bytes(&cells));
            }
            4 | 5 => {
                let (name, value) = (self.word(PROPERTIES), self.value());
                self.set(name, value);
            }
            6 => {
                let (name, count) = (self.word(PROPERTIES), self.byte() % 8);
                let value = (0..count).map(|_| self.byte()).collect();
                self.set(name, value);
            }
            7 => self.domain(),
            8 => {
                let place = self.byte();
                self.add(kernel(place));
            }
            9 => self.half(),
            10 => self.tuples(),
            _ => {}
        }
    }

    /// A domain that can run; it stays open.
    fn domain(&mut self) {
        let kind = self.byte();
        let mut domain = Node::new(format!("dom{}", kind & 3)).compatible("xen,domain").cells("cpus", &[1]);
        domain = domain.cells("memory", &[0, 0x800]).cells("phandle", &[2 + u32::from(kind & 7)]);
        if kind & 8 != 0 {
            domain = domain.with("xen,enhanced", "no-xenstore\0");
        }
        if kind & 16 == 0 {
            domain.children.push(kernel(kind));
        }
        self.begin(domain);
    }

    /// A node of channels, inside what is open.
    fn channel(&mut self, mut node: Node) {
        if self.byte() & 1 == 0 {
            node = node.with("portunus,name", self.value());
        }
        self.add(node);
    }

    fn half(&mut self) {
        let (port, own, peer) = (self.cell(), u32::from(self.byte() & 15), u32::from(self.byte() & 15));
        let node = Node::new("e").compatible("xen,evtchn-v1").cells("xen,evtchn", &[port, 0x20 + peer]);
        self.channel(node.cells("phandle", &[0x20 + own]));
    }

    fn tuples(&mut self) {
        let ends = 2 * (1 + self.byte() % 3);
        let cells: Vec<u32> = (0..ends).flat_map(|_| [self.cell(), 2 + u32::from(self.byte() & 7)]).collect();
        self.channel(Node::new("link").compatible("xen,evtchn").cells("xen,evtchn", &cells));
    }
}
