//! What is suggested, as YAML and TOML for people to read. Texts of the recording are escaped in a
//! way that both read.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Caller, Peer, Point, Seen, Source};
use super::{By, Plan};

/// The most points that have cases: a file has at most 512 of them.
const MAX_POINTS_WITH_CASES: usize = 200;

/// The longest that the point is in the name of a case, which has at most 200 bytes.
const MAX_NAME_BYTES: usize = 120;

type Callers = BTreeMap<Caller, u64>;

/// Points by what they need: a rule for each.
fn by_need<K: Ord + Clone>(points: &[(&Point, K)]) -> BTreeMap<K, Vec<Point>> {
    let mut by_need: BTreeMap<K, Vec<Point>> = BTreeMap::new();
    for (point, need) in points {
        by_need.entry(need.clone()).or_default().push((*point).clone());
    }
    by_need
}

/// The points as members of a rule, each a line: methods with their routes, and actions. A rule
/// covers each of its methods on each of its routes, so only routes with the same methods share
/// one.
fn covers(points: &[Point]) -> Vec<String> {
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut actions = BTreeSet::new();
    for point in points {
        match point {
            Point::Request { route, method } => drop(methods.entry(route).or_default().insert(method)),
            Point::Action(name) => drop(actions.insert(&**name)),
        }
    }
    let mut rules: BTreeMap<BTreeSet<&str>, BTreeSet<&str>> = BTreeMap::new();
    for (route, methods) in methods {
        rules.entry(methods).or_default().insert(route);
    }
    let mut covers: Vec<String> = rules
        .into_iter()
        .map(|(methods, routes)| format!("methods: {}, routes: {}", list(methods), list(routes)))
        .collect();
    if !actions.is_empty() {
        covers.push(format!("actions: {}", list(actions)));
    }
    covers
}

/// How often a rule was seen.
fn times(points: &[Point], seen: &Seen) -> u64 {
    points.iter().filter_map(|point| seen.points.get(point)).flat_map(Callers::values).sum()
}

pub(super) fn peers(points: &[(&Point, &Callers)]) -> String {
    let of =
        |callers: &Callers| -> BTreeSet<Peer> { callers.keys().map(|caller| caller.peer.clone()).collect() };
    let needs: Vec<(&Point, BTreeSet<Peer>)> =
        points.iter().map(|(point, callers)| (*point, of(callers))).collect();
    let mut text = String::from(
        "# Which client certificates may call which routes: those that were seen there.\nrules:\n",
    );
    for (peers, points) in by_need(&needs) {
        let (mut ids, mut named) = (Vec::new(), Vec::new());
        for peer in &peers {
            match peer {
                Peer::Spiffe(id) => ids.push(id),
                Peer::Named { authority, dns_name } => named.push(format!(
                    "{{ authority: {}, dns-name: {} }}",
                    quoted(authority),
                    quoted(dns_name)
                )),
                Peer::Absent | Peer::NotRecorded => {}
            }
        }
        let mut who = Vec::new();
        if !ids.is_empty() {
            who.push(format!("peers: {}", list(ids)));
        }
        if !named.is_empty() {
            who.push(format!("named-peers: [{}]", named.join(", ")));
        }
        for cover in covers(&points) {
            text.push_str(&format!("  - {{ {}, {cover} }}\n", who.join(", ")));
        }
    }
    text
}

pub(super) fn roles(plan: &Plan, seen: &Seen) -> String {
    let mut text = String::from(
        "# Which roles may call which routes: the fewest that cover the callers seen there.\nroles:\n",
    );
    let used: BTreeMap<&Box<str>, &Source> =
        plan.needed.values().flatten().filter_map(|role| Some((role, seen.sources.get(role)?))).collect();
    if let Some(source) = used.values().find(|source| source.is_first) {
        text.push_str(&format!("  claims: {}\n", list([&source.claim])));
    }
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (role, source) in used.iter().filter(|(_, source)| !source.is_first) {
        let role = format!("{}: {}", quoted(&source.name), list([role]));
        groups.entry(&source.claim).or_default().push(role);
    }
    if !groups.is_empty() {
        text.push_str("  groups:\n");
    }
    for (claim, roles) in groups {
        text.push_str(&format!("    - {{ claim: {}, roles: {{ {} }} }}\n", quoted(claim), roles.join(", ")));
    }
    text.push_str("permissions:\n");
    let mut by_role: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
    for (point, roles) in &plan.needed {
        for role in roles {
            by_role.entry(role).or_default().push(point.clone());
        }
    }
    for (role, points) in by_role {
        text.push_str(&format!(
            "  {}: # {} requests, by callers with this role or another\n",
            quoted(role),
            times(&points, seen)
        ));
        for cover in covers(&points) {
            text.push_str(&format!("    - {{ {cover} }}\n"));
        }
    }
    text
}

pub(super) fn scopes(plan: &Plan, seen: &Seen) -> String {
    let needs: Vec<(&Point, BTreeSet<Box<str>>)> =
        plan.needed.iter().map(|(point, scopes)| (point, scopes.clone())).collect();
    let mut text =
        String::from("# Which scopes a route needs: those that all callers seen there had.\nrules:\n");
    for (scopes, points) in by_need(&needs) {
        for cover in covers(&points) {
            text.push_str(&format!(
                "  - {{ {cover}, scopes: {} }} # {} requests\n",
                list(&scopes),
                times(&points, seen)
            ));
        }
    }
    text
}

/// Cases of the policy that tells callers apart by this: each point by a caller that was seen, and
/// by one that was not.
pub(super) fn cases(plan: &Plan, by: By, seen: &Seen) -> String {
    let mut text = String::from(
        "# What was seen is allowed; a caller that was not seen is refused. Add what must never be allowed.\nformat = 1\n",
    );
    let points = plan.needed.iter().filter_map(|(point, needed)| {
        let caller = seen.points.get(point)?.keys().next()?;
        Some((point, needed, caller, asked(point)?))
    });
    for (number, (point, needed, caller, asked)) in points.take(MAX_POINTS_WITH_CASES).enumerate() {
        let claims =
            claims(by, needed, caller, seen).map_or(String::new(), |table| format!("claims = {table}\n"));
        let allowed = format!("{}{claims}", peer(&caller.peer));
        let name = point.to_string().replace('`', "");
        let name = name.split_at(name.floor_char_boundary(MAX_NAME_BYTES)).0;
        let named = |how: &str| quoted(&format!("{}: {name}, {how}", number + 1));
        text.push_str(&format!(
            "\n[[case]]\nname = {}\n{asked}{allowed}expect = \"allow\"\n",
            named("as it was seen")
        ));
        let nobody = format!("{}claims = {{ sub = \"nobody\" }}\n", peer(&caller.peer));
        let (other, reason) = match by {
            By::Roles => (nobody, "no-role"),
            By::Scopes => (nobody, "missing-scope"),
            By::Nothing => {
                (peer(&Peer::Spiffe("spiffe://not-seen.invalid/nobody".into())), "peer-not-allowed")
            }
        };
        text.push_str(&format!(
            "\n[[case]]\nname = {}\n{asked}{other}expect = \"deny\"\nreason = \"{reason}\"\n",
            named("by a caller that was not seen")
        ));
    }
    text
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Spiffe(id) => format!("peer = {}\n", quoted(id)),
        Peer::Named { authority, dns_name } => {
            format!("peer = {{ authority = {}, dns-names = {} }}\n", quoted(authority), list([dns_name]))
        }
        Peer::Absent | Peer::NotRecorded => String::new(),
    }
}

/// The claims that a caller needs, as an inline table.
fn claims(by: By, needed: &BTreeSet<Box<str>>, caller: &Caller, seen: &Seen) -> Option<String> {
    match by {
        By::Nothing => None,
        By::Scopes => {
            let scopes: Vec<&str> = needed.iter().map(AsRef::as_ref).collect();
            Some(format!("{{ scope = {} }}", quoted(&scopes.join(" "))))
        }
        By::Roles => {
            let role = needed.iter().find(|role| caller.roles.contains(*role))?;
            let source = seen.sources.get(role)?;
            let pointer = source.claim.strip_prefix('/').unwrap_or(&source.claim);
            let keys = pointer.rsplit('/').map(|key| key.replace("~1", "/").replace("~0", "~"));
            Some(keys.fold(list([&source.name]), |inner, key| format!("{{ {} = {inner} }}", quoted(&key))))
        }
    }
}

/// What is asked, as members of a case. `None` for a template that no path can be made of here.
fn asked(point: &Point) -> Option<String> {
    let (route, method) = match point {
        Point::Action(name) => return Some(format!("action = {}\n", quoted(name))),
        Point::Request { route, method } => (route, method),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let mut path = String::new();
    for segment in route.strip_prefix('/')?.split('/') {
        path.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if name.starts_with('*') => path.push_str("a/b"),
            Some(_) => path.push('7'),
            None if segment.chars().all(plain) => path.push_str(segment),
            None => return None,
        }
    }
    let (method, path, route) = (quoted(method), quoted(&path), quoted(route));
    Some(format!("method = {method}\npath = {path}\nroute = {route}\n"))
}

/// A list of texts in YAML and TOML.
fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A text in double quotes, with the escapes that YAML and TOML share. Everything but printable
/// ASCII is escaped: nothing can be shown as what it is not.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if u32::from(c) <= 0xffff => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}
