//! What the keys of the console mean: who gets them, and the switch key.
//!
//! As in Xen, the switch key (Ctrl-A unless `conswitch=` says otherwise) typed three times in a row moves the
//! input focus. Once or twice, it is held back and then delivered in front of the next other key, so a guest
//! still gets its Ctrl-A; typing it twice and nothing more delivers nothing.

use core::fmt;

use arrayvec::ArrayVec;

/// How often the switch key is typed to switch.
const TIMES: u8 = 3;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Deliver it to whoever has the focus.
    Byte(u8),
    /// Move the focus.
    Switch,
}

/// The keys delivered for one key typed: those held back, and itself.
pub type Keys = ArrayVec<Key, 3>;

/// The state of the switch key.
#[derive(Debug)]
pub struct Switch {
    key: u8,
    held: u8,
}

impl Switch {
    /// Control character `key` (1 for Ctrl-A) switches; 0 switches nothing.
    #[must_use]
    pub const fn new(key: u8) -> Self {
        Self { key, held: 0 }
    }

    /// A key was typed.
    pub fn typed(&mut self, byte: u8) -> Keys {
        let mut keys = Keys::new();
        if self.key != 0 && byte == self.key {
            self.held = self.held.saturating_add(1);
            if self.held >= TIMES {
                self.held = 0;
                keys.push(Key::Switch);
            }
            return keys;
        }
        keys.extend((0..self.held).map(|_| Key::Byte(self.key)));
        keys.push(Key::Byte(byte));
        self.held = 0;
        keys
    }
}

/// How a person reads the switch key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyName(pub(super) u8);

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1..=26 => write!(f, "CTRL-{}", char::from(self.0 | 0x60)),
            other => write!(f, "byte {other:#04x}"),
        }
    }
}

/// What a key asks of the hypervisor while it has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say which keys there are.
    Help,
}

impl Command {
    /// The keys, for the help text.
    pub const KEYS: [(char, &'static str); 1] = [('h', "this list")];

    /// The command of `key`, if it has one.
    #[must_use]
    pub const fn of(key: u8) -> Option<Self> {
        match key {
            b'h' | b'?' => Some(Self::Help),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_all(switch: &mut Switch, text: &[u8]) -> Vec<Key> {
        text.iter().flat_map(|byte| switch.typed(*byte)).collect()
    }

    #[test]
    fn three_times_switches_and_reaches_nobody() {
        let mut switch = Switch::new(1);
        assert_eq!(type_all(&mut switch, &[1, 1, 1]), [Key::Switch]);
        assert_eq!(type_all(&mut switch, &[1, 1, 1, 1, 1, 1]), [Key::Switch, Key::Switch]);
    }

    #[test]
    fn once_or_twice_is_delivered_before_the_next_key() {
        let mut switch = Switch::new(1);
        assert_eq!(type_all(&mut switch, &[1, b'c']), [Key::Byte(1), Key::Byte(b'c')]);
        assert_eq!(type_all(&mut switch, &[1, 1]), []);
        assert_eq!(type_all(&mut switch, b"x"), [Key::Byte(1), Key::Byte(1), Key::Byte(b'x')]);
        assert_eq!(type_all(&mut switch, &[1, 1, 1]), [Key::Switch]);
    }

    #[test]
    fn without_a_switch_key_everything_is_delivered() {
        let mut switch = Switch::new(0);
        assert_eq!(type_all(&mut switch, &[0, 1, 1]), [Key::Byte(0), Key::Byte(1), Key::Byte(1)]);
    }

    #[test]
    fn every_listed_key_has_a_command() {
        for (key, _) in Command::KEYS {
            assert!(Command::of(key as u8).is_some());
        }
        assert_eq!(Command::of(b'~'), None);
    }
}
