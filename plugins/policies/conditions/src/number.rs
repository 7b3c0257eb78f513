//! Numbers that are read, compared exactly: an amount of 1000.01 is not at most 1000.

/// A decimal number: the whole number at or below it, and whether it lies above that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    floor: i64,
    is_above: bool,
}

impl Number {
    /// A number in decimal digits, as JSON has it without an exponent: "12", "-0.5". None for any
    /// other text, and where 64 bits do not hold the whole part.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, "0"),
        };
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let has_fraction = fraction.bytes().any(|digit| digit != b'0');
        let floor = match (is_negative, has_fraction) {
            (false, _) => whole,
            (true, false) => -whole,
            (true, true) => (-whole).checked_sub(1)?,
        };
        Some(Self { floor, is_above: has_fraction })
    }

    pub(crate) fn is_below(self, limit: i64) -> bool {
        self.floor < limit
    }

    pub(crate) fn is_at_most(self, limit: i64) -> bool {
        self.floor < limit || (self.floor == limit && !self.is_above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_exactly() {
        for (text, below, at_most) in [
            ("999", true, true),
            ("999.99", true, true),
            ("1000", false, true),
            ("1000.00", false, true),
            ("1000.000000000000000000000000001", false, false),
            ("1001", false, false),
            ("-1000.5", true, true),
            ("0", true, true),
            ("-0", true, true),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!((number.is_below(1000), number.is_at_most(1000)), (below, at_most), "{text}");
        }
        let number = Number::parse("-0.5").unwrap();
        assert!(number.is_below(0) && !number.is_at_most(-1) && !number.is_below(-1));
        assert!(Number::parse("-9223372036854775807").unwrap().is_at_most(i64::MIN + 1));
    }

    #[test]
    fn what_is_not_a_number_in_digits_is_none() {
        for text in [
            "",
            "-",
            ".",
            "5.",
            ".5",
            "+5",
            " 5",
            "5 ",
            "05",
            "00",
            "1e3",
            "1_000",
            "1,000",
            "1.000,00",
            "0x10",
            "NaN",
            "inf",
            "null",
            "\"5\"",
            "--5",
            "5.-1",
            "٣",
            "9223372036854775808",
            "-9223372036854775808.5",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
