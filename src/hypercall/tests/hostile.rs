//! Any call with any arguments and any memory: it ends, it does not panic, and it does little at a time.

use proptest::prelude::*;

use super::*;

/// Numbers that mean something more often than chance would have it.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..32_u64,
        Just(RAM),
        RAM..RAM_END,
        Just(READ_ONLY),
        Just(NOWHERE),
        Just(RAM_END - 8),
        (0..64_u64, 0..70_000_u64).prop_map(|(op, start)| op | start << 6),
        any::<u64>(),
    ]
}

fn call() -> impl Strategy<Value = (u64, [u64; 5])> {
    (prop_oneof![6..45_u64, any::<u64>()], proptest::array::uniform5(argument()))
}

/// Structures made of small numbers, names of domains, and pointers to themselves.
fn memory() -> impl Strategy<Value = Vec<u64>> {
    let word = prop_oneof![
        0..16_u64,
        Just(u64::from(SELF)),
        (0..3_u64, 0..16_u64).prop_map(|(low, high)| low | high << 32),
        (RAM..RAM_END).prop_map(|at| at & !7),
        any::<u64>(),
    ];
    proptest::collection::vec(word, 32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_call_panics_or_goes_on_for_ever(words in memory(), calls in proptest::collection::vec(call(), 1..24)) {
        let guest = Guest::new();
        for (at, word) in (0..).zip(words.iter().cycle().take(1024)) {
            guest.put(RAM + 8 * at, &word.to_le_bytes());
        }
        for (number, mut args) in calls {
            // A list or a text of four billion entries is the guest's own time; 64 turns of it will do here.
            for _ in 0..64 {
                match guest.call(number, args) {
                    Outcome::Continue(next) => {
                        // (A list gets on in its entry, which is in memory.)
                        prop_assert!(next != args || number == MULTICALL, "a continuation gets on");
                        args = next;
                    }
                    outcome => {
                        prop_assert_ne!(outcome, Outcome::Retry, "nobody else is at it");
                        break;
                    }
                }
            }
        }
    }
}
