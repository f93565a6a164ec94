//! Amounts of memory as people write them.

/// The units that are understood, with their bytes.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Bytes of an amount such as `32 MiB`.
///
/// # Errors
///
/// What is wrong with it, and what to do.
pub fn bytes(text: &str) -> Result<u64, (String, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let example = || String::from("write a whole number and its unit, such as \"32 MiB\" or \"1 GiB\"");
    let number: u64 = match number.replace('_', "").parse() {
        Ok(number) => number,
        Err(_) => return Err(("this does not begin with a whole number".into(), example())),
    };
    if let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) {
        return number
            .checked_mul(*size)
            .ok_or_else(|| ("this is more than 64 bits can count".into(), example()));
    }
    if unit.is_empty() {
        return Err((format!("{number} of what?"), example()));
    }
    let near = UNITS.iter().find(|(name, _)| name.chars().next() == unit.to_uppercase().chars().next());
    let help =
        near.map_or_else(example, |(name, _)| format!("write \"{number} {name}\", which counts by 1024"));
    Err((format!("{unit} is no unit that is known"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        assert_eq!(bytes("32 MiB"), Ok(32 << 20));
        assert_eq!(bytes(" 1GiB "), Ok(1 << 30));
        assert_eq!(bytes("4_096 KiB"), Ok(4 << 20));
    }

    #[test]
    fn what_is_no_amount_is_explained() {
        let wrong = |text| bytes(text).unwrap_err();
        assert_eq!(wrong("32").0, "32 of what?");
        assert_eq!(
            wrong("32 MB"),
            ("MB is no unit that is known".into(), "write \"32 MiB\", which counts by 1024".into())
        );
        assert!(wrong("1.5 GiB").0.contains("no unit"));
        assert!(wrong("lots").0.contains("whole number"));
        assert!(wrong("99999999999 TiB").0.contains("64 bits"));
    }
}
