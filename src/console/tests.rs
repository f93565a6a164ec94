//! The console as a whole, against a UART that can be full.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

struct FakeUart {
    room: Cell<usize>,
    sent: RefCell<Vec<u8>>,
    typed: RefCell<VecDeque<u8>>,
    interrupt: Cell<bool>,
    clock: Cell<u64>,
}

impl FakeUart {
    fn new() -> Self {
        Self {
            room: Cell::new(usize::MAX),
            sent: RefCell::new(Vec::new()),
            typed: RefCell::new(VecDeque::new()),
            interrupt: Cell::new(false),
            clock: Cell::new(0),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8(core::mem::take(&mut *self.sent.borrow_mut())).unwrap()
    }
}

impl Uart for FakeUart {
    fn try_write(&self, byte: u8) -> bool {
        let room = self.room.get();
        if room > 0 {
            self.room.set(room - 1);
            self.sent.borrow_mut().push(byte);
        }
        room > 0
    }

    fn read(&self) -> Option<u8> {
        self.typed.borrow_mut().pop_front()
    }

    fn tx_interrupt(&self, on: bool) {
        self.interrupt.set(on);
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }
}

#[derive(Default)]
struct Hands {
    domains: Vec<(u16, u8)>,
    hypervisor: Vec<u8>,
}

impl Keyboard for Hands {
    fn deliver(&mut self, domain: DomainId, byte: u8) {
        self.domains.push((domain.get(), byte));
    }

    fn hypervisor(&mut self, byte: u8) {
        self.hypervisor.push(byte);
    }
}

const CPU: CpuId = CpuId::new(0);

fn console() -> Console {
    patient_console(0)
}

fn patient_console(patience: u64) -> Console {
    let terminal = |domain, name, input| Terminal { domain: DomainId::new(domain), name, input };
    let terminals = [terminal(1, "domU1", true), terminal(2, "mute", false), terminal(4, "domU4", true)];
    Console::new(2, &terminals, 1, patience).unwrap()
}

fn write(console: &Console, domain: u16, text: &str) {
    assert_eq!(console.stream(DomainId::new(domain)).unwrap().write(text.as_bytes()), text.len());
}

fn type_keys(console: &Console, uart: &FakeUart, keys: &[u8]) -> Hands {
    uart.typed.borrow_mut().extend(keys);
    let mut hands = Hands::default();
    console.receive(CPU, uart, &mut hands);
    hands
}

#[test]
fn lines_bear_the_name_of_their_source() {
    let (console, uart) = (console(), FakeUart::new());
    console.line(CpuId::new(1), format_args!("two\nlines"));
    write(&console, 1, "hello\nhalf");
    write(&console, 2, "\n");
    assert_eq!(console.pump(&uart), Pumped::Done);
    assert_eq!(uart.shown(), "(portunus) two\r\n(domU1) hello\r\n(mute) \r\n(portunus) lines\r\n");
}

#[test]
fn a_domain_that_prints_without_end_shares_the_uart_line_by_line() {
    let (console, uart) = (console(), FakeUart::new());
    write(&console, 1, &"a\n".repeat(100));
    write(&console, 2, "b\n");
    write(&console, 4, "c\nc\n");
    let _ = console.pump(&uart);
    let order: Vec<char> = uart.shown().lines().take(7).map(|line| line.chars().last().unwrap()).collect();
    assert_eq!(order, ['a', 'b', 'c', 'a', 'c', 'a', 'a']);
}

#[test]
fn the_domain_with_the_focus_shows_its_prompt_and_goes_on_after_an_interruption() {
    let (console, uart) = (console(), FakeUart::new());
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    uart.shown();
    write(&console, 1, "login: ");
    let _ = console.pump(&uart);
    assert_eq!(uart.shown(), "(domU1) login: ");
    console.line(CPU, format_args!("domU4 ended"));
    let _ = console.pump(&uart);
    assert_eq!(uart.shown(), "\r\n(portunus) domU4 ended\r\n");
    write(&console, 1, "root\r\n# ");
    let _ = console.pump(&uart);
    assert_eq!(uart.shown(), "(domU1) root\r\r\n(domU1) # ");
}

#[test]
fn a_line_of_the_domain_with_the_focus_is_not_torn_by_others() {
    let (console, uart) = (patient_console(10), FakeUart::new());
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    uart.shown();
    write(&console, 1, "half a ");
    assert_eq!(console.pump(&uart), Pumped::Done);
    write(&console, 4, "other\n");
    assert_eq!(console.pump(&uart), Pumped::Later(10));
    uart.clock.set(9);
    write(&console, 1, "line\n");
    assert_eq!(console.pump(&uart), Pumped::Done);
    assert_eq!(uart.shown(), "(domU1) half a line\r\n(domU4) other\r\n");
}

#[test]
fn a_prompt_keeps_others_waiting_only_for_a_while() {
    let (console, uart) = (patient_console(10), FakeUart::new());
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    uart.shown();
    write(&console, 1, "# ");
    write(&console, 4, "other\n");
    assert_eq!(console.pump(&uart), Pumped::Later(10));
    uart.clock.set(10);
    assert_eq!(console.pump(&uart), Pumped::Done);
    assert_eq!(uart.shown(), "(domU1) # \r\n(domU4) other\r\n");
}

#[test]
fn a_line_without_end_keeps_others_waiting_no_longer_than_its_turn() {
    let (console, uart) = (patient_console(10), FakeUart::new());
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    write(&console, 4, "other\n");
    write(&console, 1, &"x".repeat(2 * LONGEST_LINE as usize));
    let _ = console.pump(&uart);
    assert!(uart.shown().contains("(domU4) other\r\n"));
}

#[test]
fn a_line_edited_in_place_keeps_its_name() {
    let (console, uart) = (console(), FakeUart::new());
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    uart.shown();
    write(&console, 1, "# ls\r# \x1b[K");
    let _ = console.pump(&uart);
    assert_eq!(uart.shown(), "(domU1) # ls\r(domU1) # \x1b[K");
}

#[test]
fn an_unfinished_line_shows_when_its_domain_gets_the_focus() {
    let (console, uart) = (console(), FakeUart::new());
    write(&console, 1, "login: ");
    let _ = console.pump(&uart);
    assert_eq!(uart.shown(), "");
    console.switch_focus(CPU);
    let _ = console.pump(&uart);
    assert!(uart.shown().contains("(domU1) login: "));
    console.switch_focus(CPU);
    write(&console, 1, "root\n");
    let _ = console.pump(&uart);
    let shown = uart.shown();
    assert!(shown.contains("(domU1) root\r\n"), "{shown}");
}

#[test]
fn a_full_uart_is_waited_for_by_its_interrupt() {
    let (console, uart) = (console(), FakeUart::new());
    uart.room.set(5);
    write(&console, 1, "hello\n");
    assert_eq!(console.pump(&uart), Pumped::Waiting);
    assert!(uart.interrupt.get());
    uart.room.set(5);
    assert_eq!(console.pump(&uart), Pumped::Waiting);
    uart.room.set(100);
    assert_eq!(console.pump(&uart), Pumped::Done);
    assert!(!uart.interrupt.get());
    assert_eq!(uart.shown(), "(domU1) hello\r\n");
}

#[test]
fn one_call_handles_a_bounded_amount() {
    let (console, uart) = (console(), FakeUart::new());
    for domain in [1, 2, 4] {
        write(&console, domain, &"x".repeat(4000));
    }
    assert_eq!(console.pump(&uart), Pumped::Waiting);
    assert!(uart.shown().len() < 1200);
}

#[test]
fn the_focus_goes_round_the_domains_with_a_uart_and_says_so() {
    let (console, uart) = (console(), FakeUart::new());
    let mut said = Vec::new();
    for _ in 0..3 {
        let hands = type_keys(&console, &uart, &[1, 1, 1]);
        assert!(hands.domains.is_empty() && hands.hypervisor.is_empty());
        let _ = console.pump(&uart);
        said.push((console.focus().map(DomainId::get), uart.shown()));
    }
    let line = |name| {
        format!("(portunus) *** Serial input to {name} (type 'CTRL-a' three times to switch input)\r\n")
    };
    assert_eq!(said, [(Some(1), line("domU1")), (Some(4), line("domU4")), (None, line("Portunus"))]);
}

#[test]
fn keys_go_to_whoever_has_the_focus() {
    let (console, uart) = (console(), FakeUart::new());
    assert_eq!(type_keys(&console, &uart, b"h").hypervisor, b"h");
    let hands = type_keys(&console, &uart, &[1, 1, 1, b'l', 1, b's', 1, 1, 1, b'!']);
    assert_eq!(hands.domains, [(1, b'l'), (1, 1), (1, b's'), (4, b'!')]);
}

#[test]
fn a_name_from_a_tree_cannot_overflow_or_control_the_terminal() {
    let long = "x".repeat(100);
    assert_eq!(prefix_of(&long).len(), LONGEST_PREFIX);
    assert!(prefix_of(&long).ends_with(") "));
    assert_eq!(&prefix_of("a\u{1b}é"), "(a??) ");
}

proptest! {
    /// Whatever the writers and the UART do, each domain's lines come out complete, in order, and alone.
    #[test]
    fn no_line_is_lost_torn_or_taken_for_anothers(
        steps in prop::collection::vec((0_usize..5, 1_usize..60), 1..80),
    ) {
        let (console, uart) = (console(), FakeUart::new());
        let mut written = [0_u32; 3];
        let names = ["domU1", "mute", "domU4"];
        for (what, amount) in steps {
            match what {
                0..=2 => {
                    let domain = DomainId::new([1, 2, 4][what]);
                    let line = format!("line {} {}\n", written[what], "z".repeat(amount));
                    prop_assert_eq!(console.stream(domain).unwrap().write(line.as_bytes()), line.len());
                    written[what] += 1;
                }
                3 => uart.room.set(amount),
                _ => console.switch_focus(CPU),
            }
            let _ = console.pump(&uart);
        }
        uart.room.set(usize::MAX);
        let mut calls = 0;
        while console.pump(&uart) != Pumped::Done {
            calls += 1;
            prop_assert!(calls < 100);
        }
        let mut next = [0_u32; 3];
        for line in uart.shown().lines() {
            let Some(which) = names.iter().position(|name| line.starts_with(&format!("({name}) "))) else {
                prop_assert!(line.starts_with("(portunus) *** Serial input"), "{}", line);
                continue;
            };
            let text = line.split_once(") ").unwrap().1;
            prop_assert!(text.starts_with(&format!("line {} z", next[which])), "{}", line);
            next[which] += 1;
        }
        prop_assert_eq!(next, written);
    }
}
