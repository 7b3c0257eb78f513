#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]

mod reads;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest pattern, network or schedule that is looked at, in bytes.
pub const MAX_PATTERN_BYTES: usize = 2048;

/// Why a pattern, network or schedule cannot be used. The text is fixed: it holds nothing of the
/// input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Whether a path matches a pattern: `*` is exactly one non-empty segment, `**` as the last segment
/// is the rest, however long, and everything else stands for itself.
///
/// # Errors
/// [`Malformed`] for a text that cannot be understood.
pub fn path_matches(pattern: &str, path: &str) -> Result<bool, Malformed> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(Malformed("the pattern is longer than 2048 bytes"));
    }
    let Some(pattern) = pattern.strip_prefix('/') else {
        return Err(Malformed("a path pattern begins with `/`"));
    };
    check_wildcards(pattern)?;
    let Some(path) = path.strip_prefix('/') else {
        return Ok(false);
    };
    Ok(segments_match(pattern, path))
}

/// Whether a SPIFFE ID matches a pattern: "spiffe://", a literal trust domain, and a path as in
/// [`path_matches`].
///
/// # Errors
/// [`Malformed`] for a text that cannot be understood.
pub fn spiffe_matches(pattern: &str, id: Option<&str>) -> Result<bool, Malformed> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(Malformed("the pattern is longer than 2048 bytes"));
    }
    let Some(rest) = pattern.strip_prefix("spiffe://") else {
        return Err(Malformed("a SPIFFE ID pattern begins with `spiffe://`"));
    };
    let (domain, path) = rest.split_once('/').ok_or(Malformed("a SPIFFE ID pattern has a path"))?;
    let literal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
    if domain.is_empty() || !domain.bytes().all(literal) {
        return Err(Malformed("the trust domain of a SPIFFE ID pattern is literal and in lower case"));
    }
    check_wildcards(path)?;
    let Some((id_domain, id_path)) =
        id.and_then(|id| id.strip_prefix("spiffe://")).and_then(|id| id.split_once('/'))
    else {
        return Ok(false);
    };
    Ok(id_domain == domain && segments_match(path, id_path))
}

/// `**` only as the last segment, and a `*` never as a part of a segment: "/a*" looks like a prefix
/// and would be none.
fn check_wildcards(pattern: &str) -> Result<(), Malformed> {
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "*" => {}
            "**" if segments.peek().is_none() => {}
            "**" => return Err(Malformed("`**` stands only as the last segment")),
            other if other.contains('*') => return Err(Malformed("`*` stands only for a whole segment")),
            _ => {}
        }
    }
    Ok(())
}

fn segments_match(pattern: &str, path: &str) -> bool {
    let mut path = path.split('/');
    for segment in pattern.split('/') {
        if segment == "**" {
            return true;
        }
        match path.next() {
            Some(actual) if segment == "*" => {
                if actual.is_empty() {
                    return false;
                }
            }
            Some(actual) if actual == segment => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

/// Whether an address lies in a network in CIDR notation (RFC 4632, RFC 4291). An IPv4-mapped IPv6
/// address is the IPv4 address that it maps. An unknown address lies in none.
///
/// # Errors
/// [`Malformed`] for a text that cannot be understood.
pub fn ip_in(cidr: &str, address: Option<IpAddr>) -> Result<bool, Malformed> {
    let (network, prefix) =
        cidr.split_once('/').ok_or(Malformed("a network is an address, `/` and a prefix length"))?;
    let network: IpAddr =
        network.parse().map_err(|_| Malformed("the address of the network cannot be read"))?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed("the prefix length of the network cannot be read"));
    }
    let prefix: u32 =
        prefix.parse().map_err(|_| Malformed("the prefix length of the network cannot be read"))?;
    let address = address.map(|address| address.to_canonical());
    match network {
        IpAddr::V4(network) => {
            let mask = if prefix > 32 {
                return Err(Malformed("the prefix length of an IPv4 network is at most 32"));
            } else {
                u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
            };
            if v4(network) & !mask != 0 {
                return Err(Malformed("the network has bits set behind its prefix"));
            }
            Ok(matches!(address, Some(IpAddr::V4(a)) if v4(a) & mask == v4(network)))
        }
        IpAddr::V6(network) => {
            let mask = if prefix > 128 {
                return Err(Malformed("the prefix length of an IPv6 network is at most 128"));
            } else {
                u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
            };
            if v6(network) & !mask != 0 {
                return Err(Malformed("the network has bits set behind its prefix"));
            }
            Ok(matches!(address, Some(IpAddr::V6(a)) if v6(a) & mask == v6(network)))
        }
    }
}

fn v4(address: Ipv4Addr) -> u32 {
    u32::from(address)
}

fn v6(address: Ipv6Addr) -> u128 {
    u128::from(address)
}

/// Whether a moment lies in a weekly window in UTC: "mon-fri 08:00-18:00", several joined by ";",
/// days also as a list ("sat,sun 10:00-12:00"). The end is exclusive and may be 24:00; a window
/// does not cross midnight.
///
/// # Errors
/// [`Malformed`] for a text that cannot be understood.
pub fn in_window(schedule: &str, unix_seconds: u64) -> Result<bool, Malformed> {
    // 1970-01-01 was a Thursday; Monday is 0.
    let weekday = (unix_seconds / 86_400 + 3) % 7;
    let minute = unix_seconds % 86_400 / 60;
    let mut inside = false;
    // Every window is parsed, so that a malformed one is a fault at any hour.
    for window in windows(schedule)? {
        let Window { days, from, to } = window?;
        inside |= days >> weekday & 1 == 1 && (from..to).contains(&minute);
    }
    Ok(inside)
}

/// One window of a schedule.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// A bit for each day of the week; the lowest is Monday.
    pub days: u8,
    /// The minute of the day in which it begins.
    pub from: u64,
    /// The minute of the day before which it ends.
    pub to: u64,
}

/// The windows of a schedule, in the order in which it has them.
///
/// # Errors
/// [`Malformed`] for a text that cannot be understood.
pub fn windows(schedule: &str) -> Result<impl Iterator<Item = Result<Window, Malformed>>, Malformed> {
    if schedule.len() > MAX_PATTERN_BYTES {
        return Err(Malformed("the schedule is longer than 2048 bytes"));
    }
    Ok(schedule.split(';').map(window))
}

fn window(text: &str) -> Result<Window, Malformed> {
    let (days, hours) =
        text.trim().split_once(' ').ok_or(Malformed("a window is days, a space and hours"))?;
    let (from, to) =
        hours.trim().split_once('-').ok_or(Malformed("the hours of a window are `HH:MM-HH:MM`"))?;
    let (from, to) = (time_of_day(from)?, time_of_day(to)?);
    if from >= to {
        return Err(Malformed("a window ends after it begins, on the same day"));
    }
    Ok(Window { days: days_of(days)?, from, to })
}

fn days_of(list: &str) -> Result<u8, Malformed> {
    let mut days = 0;
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (day(first)?, day(last)?);
        if first > last {
            return Err(Malformed("a range of days runs forward from `mon` to `sun`"));
        }
        days |= (first..=last).fold(0, |days, day| days | 1 << day);
    }
    Ok(days)
}

fn day(name: &str) -> Result<u8, Malformed> {
    Ok(match name {
        "mon" => 0,
        "tue" => 1,
        "wed" => 2,
        "thu" => 3,
        "fri" => 4,
        "sat" => 5,
        "sun" => 6,
        _ => return Err(Malformed("a day is one of mon, tue, wed, thu, fri, sat, sun")),
    })
}

fn time_of_day(text: &str) -> Result<u64, Malformed> {
    const WRONG: Malformed = Malformed("a time of day is `HH:MM`, at most 24:00");
    let (hours, minutes) = text.split_once(':').ok_or(WRONG)?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return Err(WRONG);
    }
    let hours: u64 = hours.parse().map_err(|_| WRONG)?;
    let minutes: u64 = minutes.parse().map_err(|_| WRONG)?;
    let total = hours * 60 + minutes;
    if minutes > 59 || total > 24 * 60 { Err(WRONG) } else { Ok(total) }
}

/// The symbols of a pointer into a document, without their braces. A brace inside of one
/// (`{claim:/{issuer}`) begins no other.
pub fn symbols(mut pointer: &str) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        let (_, after) = pointer.split_once('{')?;
        let (symbol, after) = after.split_once('}')?;
        pointer = after;
        Some(symbol)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_exactly_one_segment() {
        assert_eq!(path_matches("/orders/*", "/orders/7"), Ok(true));
        assert_eq!(path_matches("/orders/*", "/orders"), Ok(false));
        assert_eq!(path_matches("/orders/*", "/orders/"), Ok(false));
        assert_eq!(path_matches("/orders/*", "/orders/7/items"), Ok(false));
        assert_eq!(path_matches("/orders/**", "/orders/7/items"), Ok(true));
        assert_eq!(path_matches("/**", "/"), Ok(true));
        assert_eq!(path_matches("/a.b", "/aXb"), Ok(false));
    }

    #[test]
    fn malformed_path_patterns_are_faults() {
        for pattern in ["orders", "", "/a*", "/**/b", "/***"] {
            assert!(path_matches(pattern, "/a").is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_spiffe_prefix_is_not_a_match() {
        let id = Some("spiffe://td/a/b");
        assert_eq!(spiffe_matches("spiffe://td/a/*", id), Ok(true));
        assert_eq!(spiffe_matches("spiffe://td/a", Some("spiffe://td/ab")), Ok(false));
        assert_eq!(spiffe_matches("spiffe://td/**", Some("spiffe://td.evil/a")), Ok(false));
        assert_eq!(spiffe_matches("spiffe://td/**", None), Ok(false));
        assert_eq!(spiffe_matches("spiffe://t.d/a", Some("spiffe://txd/a")), Ok(false));
        for pattern in
            ["td/a", "spiffe://*/a", "spiffe://td", "spiffe://TD/a", "spiffe:///a", "spiffe://td/a+*"]
        {
            assert!(spiffe_matches(pattern, id).is_err(), "{pattern}");
        }
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(ip_in("10.0.0.0/8", ip("10.200.3.4")), Ok(true));
        assert_eq!(ip_in("10.0.0.0/8", ip("::ffff:10.1.1.1")), Ok(true));
        assert_eq!(ip_in("10.0.0.0/8", ip("11.0.0.1")), Ok(false));
        assert_eq!(ip_in("10.0.0.0/8", None), Ok(false));
        assert_eq!(ip_in("0.0.0.0/0", ip("1.2.3.4")), Ok(true));
        assert_eq!(ip_in("::/0", ip("1.2.3.4")), Ok(false));
        assert_eq!(ip_in("2001:db8::/32", ip("2001:db8:1::1")), Ok(true));
        for network in
            ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::1/64", "x/8", "::/129"]
        {
            assert!(ip_in(network, ip("10.0.0.1")).is_err(), "{network}");
        }
    }

    #[test]
    fn a_window_begins_and_ends_on_the_minute() {
        // 2026-11-23 is a Monday.
        const MONDAY: u64 = 1_795_392_000;
        let at = |schedule, seconds| in_window(schedule, MONDAY + seconds);
        assert_eq!(at("mon-fri 08:00-18:00", 8 * 3600 - 1), Ok(false));
        assert_eq!(at("mon-fri 08:00-18:00", 8 * 3600), Ok(true));
        assert_eq!(at("mon-fri 08:00-18:00", 18 * 3600 - 1), Ok(true));
        assert_eq!(at("mon-fri 08:00-18:00", 18 * 3600), Ok(false));
        assert_eq!(at("sat,sun 00:00-24:00", 5 * 86_400), Ok(true));
        assert_eq!(at("sat,sun 00:00-24:00", 4 * 86_400 + 86_399), Ok(false));
        assert_eq!(at("tue 01:00-02:00; mon 00:00-00:01", 59), Ok(true));
        for schedule in [
            "",
            "mon",
            "mon 8:00-9:00",
            "mon 09:00-08:00",
            "fri-mon 01:00-02:00",
            "mon 00:00-24:01",
            "mon 00:60-01:00",
        ] {
            assert!(at(schedule, 0).is_err(), "{schedule}");
        }
    }
}
