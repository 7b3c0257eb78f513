//! Rules by method, route and action, found through an index: two thousand cost no more to ask than
//! two.

mod keys;
mod links;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Question;
use crate::config::{Names, NonEmpty, Text};
use crate::constants::{Constant, Packer, Space, Unpacker, broken, packed};
use keys::{Kind, Shape, methods_of, route_key};
use links::{INLINE_BYTES, Link, offset};

/// What a rule is for, as it stands in a configuration: methods together with routes, actions, or
/// both.
///
/// - `methods`: exactly as HTTP spells them ("GET"), or `*` alone for any. GET does not stand for
///   HEAD. gRPC calls are "POST".
/// - `routes`: templates as the router has them ("/orders/{id}"; gRPC: "/shop.Inventory/Reserve"),
///   compared with the template that matched, not with the path. A last segment `*` stands for any
///   one segment of the template but a catch-all ("/shop.Inventory/*"); a last segment `**` for the
///   rest, however long ("/orders/**" holds "/orders" too).
/// - `actions`: the application's names of what it asks ("orders.cancel"), compared as they are.
///
/// A request that matched no route is under no rule.
#[derive(Debug, Clone, Default)]
pub struct Covers<'a> {
    /// Methods; given together with `routes`.
    pub methods: Option<NonEmpty<Text<'a>>>,
    /// Routes; given together with `methods`.
    pub routes: Option<NonEmpty<Text<'a>>>,
    /// Actions.
    pub actions: Option<NonEmpty<Text<'a>>>,
}

/// Rules with a value each. Made in `configure`, asked in `decide`; a policy that is exported as
/// *sealed* has a constant for each route, and unpacks the one or two that the question's route
/// needs.
///
/// ```
/// use ztlib_policy::rules::{Covers, Rules};
/// # use ztlib_policy::config::from_json;
/// # use ztlib_policy::testing::{Facts, ask};
/// let list = |json: &'static str| from_json(json.as_bytes()).ok();
/// let mut rules = Rules::new();
/// let orders =
///     Covers { methods: list(r#"["GET"]"#), routes: list(r#"["/orders/**"]"#), actions: None };
/// rules.add(&orders, &String::from("orders:read"))?;
///
/// let facts = Facts::request("GET", "/orders/7").route("/orders/{id}");
/// assert_eq!(
///     ask(&facts, |question| rules.find(question).collect::<Vec<_>>()).unwrap(),
///     ["orders:read"]
/// );
///
/// // Another method, and a request that matched no route, are under no rule.
/// let facts = Facts::request("DELETE", "/orders/7").route("/orders/{id}");
/// assert_eq!(ask(&facts, |question| rules.find(question).count()).unwrap(), 0);
/// let facts = Facts::request("GET", "/orders/7");
/// assert_eq!(ask(&facts, |question| rules.find(question).count()).unwrap(), 0);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rules<T> {
    rules: u32,
    shape: Shape,
    /// Under the mark of a kind and a route, a prefix of one or an action: the links of its rules,
    /// one after the other.
    keys: Space,
    /// Values as they are packed: equal ones have one number.
    values: Names,
    /// What each rule covers, with the number of its value: no rule stands there twice.
    seen: Names,
    value: PhantomData<fn() -> T>,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Rules<T> {
    /// No rules: nothing is found.
    pub fn new() -> Self {
        Self {
            rules: 0,
            shape: Shape::default(),
            keys: Space::new(),
            values: Names::new(),
            seen: Names::new(),
            value: PhantomData,
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules as usize
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }
}

impl<T: for<'a> Constant<'a>> Rules<T> {
    /// Add a rule.
    ///
    /// # Errors
    /// Methods without routes or routes without methods, neither these nor actions, a route that
    /// does not begin with `/`, has a wildcard elsewhere than as its last segment or could match no
    /// request ("/orders/:id"), a method that is none, a rule that is there twice: what, and the
    /// text of it. Rules that were sealed take no more.
    pub fn add(&mut self, covers: &Covers<'_>, value: &T) -> Result<(), String> {
        let value = packed(value);
        let (number, new) = self.values.add_bytes(&value);
        if !self.seen.add(&signature(covers, number)).1 {
            return Err("the same rule stands there before".to_string());
        }
        let inline = value.len() <= INLINE_BYTES;
        if new && !inline {
            self.append(Kind::Value, &number.to_string(), &value)?;
        }
        let inline = inline.then_some(value.as_slice());
        let rule = self.rules;
        let link = |methods: &[&str]| Link::packed(rule, methods, number as u64, inline);
        match (&covers.methods, &covers.routes, &covers.actions) {
            (Some(methods), Some(routes), _) => {
                let link = link(&methods_of(methods)?);
                for route in routes.as_slice() {
                    let (kind, key) = route_key(route.as_str())?;
                    self.append(kind, key, &link)?;
                }
            }
            (None, None, Some(_)) => {}
            (None, None, None) => return Err("give `methods` and `routes`, or `actions`".to_string()),
            (Some(_), None, _) => return Err("`methods` needs `routes`".to_string()),
            (None, Some(_), _) => return Err("`routes` needs `methods`; write `[\"*\"]` for any".to_string()),
        }
        if let Some(actions) = &covers.actions {
            let link = link(&[]);
            for action in actions.as_slice() {
                self.append(Kind::Action, action.as_str(), &link)?;
            }
        }
        self.rules += 1;
        Ok(())
    }

    /// The values of all rules that the question is under, in the order in which they were added;
    /// of equal values the first. It reads the action and, where there is none, the route, and the
    /// method where the route has a rule for certain methods.
    pub fn find<'r>(&'r self, question: &'r Question<'_>) -> impl Iterator<Item = T> + 'r {
        let mut lists = Lists::default();
        if let Some(action) = question.action() {
            if self.shape.action {
                lists.extend(self.keys.get(question, &[Kind::Action.mark(), &action]));
            }
        } else if let Some(route) = question.route() {
            self.routes(question, &route, &mut lists);
        }
        self.covering(question, &lists).into_iter().map(move |found| match found.inline {
            Some((list, start)) => {
                let bytes = lists.get(list).and_then(|list| list.get(start..)).unwrap_or_default();
                T::unpack(&mut Unpacker::new(bytes)).unwrap_or_else(|| broken())
            }
            None => {
                let bytes = self.keys.get(question, &[Kind::Value.mark(), &found.value.to_string()]);
                bytes.and_then(|bytes| Unpacker::whole(&bytes)).unwrap_or_else(|| broken())
            }
        })
    }

    /// The rules among these links that cover the question: in their order, each value once.
    fn covering(&self, question: &Question<'_>, lists: &Lists<'_>) -> Vec<Found> {
        // The method is read only where a rule names one: a rule for any method does not hang on
        // it.
        let mut method = None;
        let mut found: Vec<Found> = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            let mut from = Unpacker::new(list);
            while !from.is_empty() {
                let Some(link) = Link::unpack(&mut from) else { broken() };
                let covered = link.is_for_any()
                    || link.names(method.get_or_insert_with(|| question.method()).as_bytes());
                if covered {
                    let inline = link.inline.map(|value| (number, offset(list, value)));
                    // Under each key they are in order, and few rules cover one question: keeping
                    // it costs next to nothing.
                    let at = found.partition_point(|earlier| earlier.rule <= link.rule);
                    found.insert(at, Found { rule: link.rule, value: link.value, inline });
                }
            }
        }
        let mut seen: Vec<u64> = Vec::new();
        found.retain(|found| {
            let first = !seen.contains(&found.value);
            if first {
                seen.push(found.value);
            }
            first
        });
        found
    }

    /// The links of every key that covers a route.
    fn routes<'r>(&'r self, question: &Question<'_>, route: &str, lists: &mut Lists<'r>) {
        let mut slashes = 0;
        let mut last = None;
        if self.shape.has_wildcards() {
            for (at, _) in route.bytes().enumerate().filter(|(_, byte)| *byte == b'/') {
                if self.shape.has_rest(slashes) {
                    let prefix = route.get(..at).unwrap_or_default();
                    lists.extend(self.keys.get(question, &[Kind::Rest.mark(), prefix]));
                }
                last = Some((at, slashes));
                slashes += 1;
            }
            if self.shape.has_rest(slashes) {
                lists.extend(self.keys.get(question, &[Kind::Rest.mark(), route]));
            }
        }
        if self.shape.exact {
            lists.extend(self.keys.get(question, &[Kind::Exact.mark(), route]));
        }
        if let Some((at, slashes)) = last {
            let segment = route.get(at + 1..).unwrap_or_default();
            if self.shape.has_segment(slashes) && !segment.is_empty() && !segment.starts_with("{*") {
                let prefix = route.get(..at).unwrap_or_default();
                lists.extend(self.keys.get(question, &[Kind::Segment.mark(), prefix]));
            }
        }
    }

    fn append(&mut self, kind: Kind, key: &str, bytes: &[u8]) -> Result<(), String> {
        self.shape.note(kind, key);
        let whole = [kind.mark(), key].concat();
        let (place, _) = self.keys.place(&whole).ok_or("the rules were sealed and take no more")?;
        place.extend_from_slice(bytes);
        Ok(())
    }
}

/// What a rule covers and the number of its value, as one text.
fn signature(covers: &Covers<'_>, value: usize) -> String {
    let mut all = value.to_string();
    for list in [&covers.methods, &covers.routes, &covers.actions] {
        all.push('\n');
        for text in list.iter().flat_map(NonEmpty::as_slice) {
            all.push_str(text.as_str());
            all.push('\t');
        }
    }
    all
}

/// What was found under the keys of one question.
type Lists<'r> = Vec<Cow<'r, [u8]>>;

/// A rule that covers the question.
struct Found {
    rule: u64,
    value: u64,
    /// In which list, and where in it, the value begins.
    inline: Option<(usize, usize)>,
}

impl<T> Constant<'_> for Rules<T> {
    fn pack(&self, to: &mut Packer) {
        to.number(self.rules.into());
        self.shape.pack(to);
        self.keys.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (rules, shape, keys) = (u32::unpack(from)?, Shape::unpack(from)?, Space::unpack(from)?);
        Some(Self { rules, shape, keys, values: Names::new(), seen: Names::new(), value: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::config::from_json;
    use crate::testing::{Facts, Sealed, ask, decide};
    use crate::{Answer, Policy, constant_struct};

    fn covers<'a>(methods: &'a str, routes: &'a str) -> Covers<'a> {
        Covers {
            methods: Some(from_json(methods.as_bytes()).unwrap()),
            routes: Some(from_json(routes.as_bytes()).unwrap()),
            actions: None,
        }
    }

    fn under(method: &str, route: &str, pattern: &str) -> bool {
        let (methods, routes) = (r#"["GET"]"#, format!(r#"["{pattern}"]"#));
        let mut rules = Rules::new();
        rules.add(&covers(methods, &routes), &()).unwrap();
        ask(&Facts::request(method, "/any").route(route), |question| rules.find(question).count() == 1)
            .unwrap()
    }

    #[test]
    fn a_route_is_compared_with_the_template_as_a_whole() {
        assert!(under("GET", "/orders/{id}", "/orders/{id}"));
        assert!(!under("GET", "/orders/{number}", "/orders/{id}"));
        assert!(!under("GET", "/orders/{id}/items", "/orders/{id}"));
        assert!(!under("GET", "/Orders/{id}", "/orders/{id}"));
        assert!(!under("GET", "/orders/", "/orders"));
        assert!(under("GET", "/", "/"));
        assert!(!under("GET", "/x", "/"));
    }

    #[test]
    fn a_star_is_the_last_segment_and_a_catch_all_is_not_one_segment() {
        assert!(under("GET", "/shop.Inventory/Reserve", "/shop.Inventory/*"));
        assert!(under("GET", "/orders/{id}", "/orders/*"));
        assert!(under("GET", "/x", "/*"));
        assert!(!under("GET", "/orders", "/orders/*"));
        assert!(!under("GET", "/orders/", "/orders/*"));
        assert!(!under("GET", "/orders/{id}/items", "/orders/*"));
        assert!(!under("GET", "/shop.InventoryAdmin/Reserve", "/shop.Inventory/*"));
        assert!(!under("GET", "/files/{*rest}", "/files/*"));
        assert!(under("GET", "/files/{*rest}", "/files/{*rest}"));
    }

    #[test]
    fn two_stars_are_the_rest_on_a_segment_boundary() {
        for route in ["/orders", "/orders/", "/orders/{id}", "/orders/{id}/items", "/orders/{*rest}"] {
            assert!(under("GET", route, "/orders/**"), "{route}");
        }
        for route in ["/ordersx", "/order", "/x/orders", "/"] {
            assert!(!under("GET", route, "/orders/**"), "{route}");
        }
        assert!(under("GET", "/", "/**") && under("GET", "/a/b/c", "/**"));
    }

    #[test]
    fn methods_are_exact_and_get_is_not_head() {
        assert!(!under("HEAD", "/orders", "/orders"));
        assert!(!under("get", "/orders", "/orders"));
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*"]"#, r#"["/orders"]"#), &()).unwrap();
        let facts = Facts::request("PURGE", "/orders").route("/orders");
        let host = ask(&facts, |question| rules.find(question).count()).unwrap();
        assert_eq!(host, 1);
    }

    #[test]
    fn no_route_and_an_action_are_under_no_rule_for_routes() {
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*"]"#, r#"["/**"]"#), &()).unwrap();
        assert_eq!(ask(&Facts::request("GET", "/orders"), |q| rules.find(q).count()).unwrap(), 0);
        assert_eq!(ask(&Facts::action("/orders"), |q| rules.find(q).count()).unwrap(), 0);
    }

    #[test]
    fn an_action_is_under_the_rules_that_name_it() {
        let mut rules = Rules::new();
        let actions = Covers { actions: from_json(br#"["orders.cancel"]"#).ok(), ..Covers::default() };
        rules.add(&actions, &()).unwrap();
        assert_eq!(ask(&Facts::action("orders.cancel"), |q| rules.find(q).count()).unwrap(), 1);
        assert_eq!(ask(&Facts::action("orders.cancel.all"), |q| rules.find(q).count()).unwrap(), 0);
        let facts = Facts::request("GET", "/orders.cancel").route("orders.cancel");
        assert_eq!(ask(&facts, |q| rules.find(q).count()).unwrap(), 0, "an action is not a route");
    }

    #[test]
    fn what_is_found_comes_once_and_in_the_order_of_the_rules() {
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*", "GET"]"#, r#"["/a/**", "/a/b", "/a/*"]"#), &0_u32).unwrap();
        rules.add(&covers(r#"["POST"]"#, r#"["/a/b"]"#), &1).unwrap();
        rules.add(&covers(r#"["GET"]"#, r#"["/a/*"]"#), &2).unwrap();
        rules.add(&covers(r#"["GET"]"#, r#"["/**"]"#), &3).unwrap();
        let facts = Facts::request("GET", "/a/b").route("/a/b");
        assert_eq!(ask(&facts, |q| rules.find(q).collect::<Vec<_>>()).unwrap(), [0, 2, 3]);
    }

    #[test]
    fn rules_that_could_be_misread_are_refused() {
        let refused =
            |methods: &str, routes: &str| Rules::new().add(&covers(methods, routes), &()).unwrap_err();
        for route in [
            "orders",
            "/a*",
            "/*/b",
            "/**/b",
            "/a/{id}*",
            "/***",
            "/a/{x*}",
            "/a/{*}",
            "/{*a}/b",
            "/orders/:id",
            "/<id>",
            "//b",
        ] {
            let error = refused(r#"["GET"]"#, &format!(r#"["{route}"]"#));
            assert!(error.contains(&format!("`{route}`")), "{error}");
        }
        assert!(refused(r#"["get"]"#, r#"["/"]"#).contains("upper case"));
        let only = |methods: Option<&'static str>, routes: Option<&'static str>| {
            let list = |text: &'static str| from_json(text.as_bytes()).unwrap();
            let covers = Covers { methods: methods.map(list), routes: routes.map(list), actions: None };
            Rules::new().add(&covers, &()).unwrap_err()
        };
        assert!(only(Some(r#"["GET"]"#), None).contains("needs `routes`"));
        assert!(only(None, Some(r#"["/a"]"#)).contains("needs `methods`"));
        assert!(only(None, None).contains("give"));
    }

    /// The index against the sentence that it implements, over every pair of a few segments.
    #[test]
    fn the_index_finds_what_a_search_through_all_rules_finds() {
        let segments = ["a", "b", "{id}"];
        let last = ["", "a", "b", "{id}", "{*r}"];
        let mut routes: Vec<String> = last.iter().map(|a| format!("/{a}")).collect();
        routes.extend(segments.iter().flat_map(|a| last.iter().map(move |b| format!("/{a}/{b}"))));
        let mut patterns = routes.clone();
        patterns.extend(segments.iter().flat_map(|a| [format!("/{a}/*"), format!("/{a}/**")]));
        patterns.extend(["/*".to_owned(), "/**".to_owned()]);
        let mut rules = Rules::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let number = number as u64;
            rules.add(&covers(r#"["GET"]"#, &format!(r#"["{pattern}"]"#)), &number).unwrap();
        }
        for route in &routes {
            let slow: Vec<u64> = patterns
                .iter()
                .enumerate()
                .filter(|(_, p)| matches(p, route))
                .map(|(n, _)| n as u64)
                .collect();
            let facts = Facts::request("GET", "/any").route(route);
            assert_eq!(ask(&facts, |q| rules.find(q).collect::<Vec<_>>()).unwrap(), slow, "{route}");
        }
    }

    fn matches(pattern: &str, route: &str) -> bool {
        if let Some(prefix) = pattern.strip_suffix("/**") {
            return route == prefix || route.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        }
        match pattern.strip_suffix("/*") {
            Some(prefix) => route.rsplit_once('/').is_some_and(|(before, last)| {
                before == prefix && !last.is_empty() && !last.starts_with("{*")
            }),
            None => pattern == route,
        }
    }

    #[test]
    fn two_thousand_rules_are_told_apart() {
        let mut rules = Rules::new();
        for number in 0..2000_u32 {
            rules
                .add(&covers(r#"["GET"]"#, &format!(r#"["/api/v{}/r{number}/{{id}}"]"#, number % 7)), &number)
                .unwrap();
        }
        for number in 0..2000_u32 {
            let facts =
                Facts::request("GET", "/any").route(&format!("/api/v{}/r{number}/{{id}}", number % 7));
            assert_eq!(ask(&facts, |q| rules.find(q).collect::<Vec<_>>()).unwrap(), [number]);
        }
    }

    constant_struct! {
        #[derive(Debug)]
        struct Numbered { rules: Rules<Vec<u32>> }
    }

    impl Policy for Numbered {
        fn configure(config: &[u8]) -> Result<Self, String> {
            let (mut rules, mut draw) = (Rules::new(), Draw(u64::from_le_bytes(config.try_into().unwrap())));
            for rule in rules_of(&mut draw) {
                let json = [&rule.methods, &rule.routes, &rule.actions].map(|texts| format!("{texts:?}"));
                let [methods, routes, actions] =
                    [0, 1, 2].map(|at: usize| from_json(json[at].as_bytes()).ok());
                let covers = Covers { methods, routes, actions };
                match rules.add(&covers, &rule.value) {
                    Err(text) if text.contains("the same rule") => {}
                    added => added.unwrap(),
                }
            }
            Ok(Self { rules })
        }

        fn decide(&self, question: &Question<'_>) -> Answer {
            self.rules.find(question).for_each(|value| question.log(&format!("{value:?}")));
            Answer::Abstain
        }
    }

    struct Rule {
        methods: Vec<String>,
        routes: Vec<String>,
        actions: Vec<String>,
        value: Vec<u32>,
    }

    impl Rule {
        fn covers(&self, asked: &Result<(&str, String), String>) -> bool {
            match asked {
                Ok((method, route)) => {
                    self.methods.iter().any(|own| own == "*" || own == method)
                        && self.routes.iter().any(|pattern| matches(pattern, route))
                }
                Err(action) => self.actions.contains(action),
            }
        }
    }

    /// Numbers that look like chance, the same in each run (Knuth's linear congruential generator).
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }

        fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
            texts[self.below(texts.len())]
        }

        fn route(&mut self) -> String {
            let middle: String =
                (0..self.below(4)).map(|_| format!("/{}", self.of(&["a", "b", "{id}", "c"]))).collect();
            format!("{middle}/{}", self.of(&["a", "b", "{id}", "", "{*rest}"]))
        }
    }

    fn rules_of(draw: &mut Draw) -> Vec<Rule> {
        let many = |draw: &mut Draw, one: &mut dyn FnMut(&mut Draw) -> String| {
            let mut all = (0..=draw.below(3)).map(|_| one(draw)).collect::<Vec<_>>();
            // What stands there twice is refused.
            all.sort();
            all.dedup();
            all
        };
        let rule = |draw: &mut Draw| {
            let kind = draw.below(4);
            let pattern = &mut |draw: &mut Draw| match draw.below(3) {
                0 => format!("{}{}", draw.route().rsplit_once('/').unwrap().0, draw.of(&["/*", "/**"])),
                _ => draw.route().replace("{*rest}/", ""),
            };
            let routes = if kind > 0 { many(draw, pattern) } else { Vec::new() };
            let methods = &mut |draw: &mut Draw| draw.of(&["GET", "POST", "*"]).to_owned();
            let methods = if kind > 0 { many(draw, methods) } else { Vec::new() };
            let actions = &mut |draw: &mut Draw| draw.of(&["read", "write", "/a"]).to_owned();
            let actions = if kind < 2 { many(draw, actions) } else { Vec::new() };
            // Some are equal; some are too long to stand in each link.
            let value = (0..=draw.below(2) * 40).map(|_| draw.below(2) as u32 * 100_000).collect();
            Rule { methods, routes, actions, value }
        };
        (0..draw.below(30)).map(|_| rule(draw)).collect()
    }

    /// The index among the constants, and the one in memory, against the rules one by one.
    #[test]
    fn sealed_rules_find_what_a_search_through_all_rules_finds() {
        let mut found = 0;
        for seed in 0..400_u64 {
            let config = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            let mut draw = Draw(u64::from_le_bytes(config));
            let all = rules_of(&mut draw);
            let (here, sealed) =
                (Numbered::configure(&config).unwrap(), Sealed::<Numbered>::configure(&config).unwrap());
            for _ in 0..30 {
                let asked = match draw.below(5) {
                    0 => Err(draw.of(&["read", "write", "/a", "/b"]).to_owned()),
                    _ => Ok((draw.of(&["GET", "POST", "HEAD"]), draw.route())),
                };
                let facts = match &asked {
                    Ok((method, route)) => Facts::request(method, "/any").route(route),
                    Err(action) => Facts::action(action),
                };
                let mut slow: Vec<String> = Vec::new();
                for rule in all.iter().filter(|rule| rule.covers(&asked)) {
                    let value = format!("{:?}", rule.value);
                    if !slow.contains(&value) {
                        slow.push(value);
                    }
                }
                found += slow.len();
                let verdict = sealed.decide(&facts).unwrap();
                assert_eq!(verdict.log, slow, "seed {seed}: {asked:?}");
                assert_eq!(decide(&here, &facts).unwrap(), verdict, "seed {seed}: {asked:?}");
            }
        }
        assert!(found > 10_000, "{found}");
    }

    #[test]
    fn sealed_rules_take_no_more() {
        let bytes = packed(&Rules::<()>::new());
        let mut rules: Rules<()> = Unpacker::whole(&bytes).unwrap();
        let error = rules.add(&covers(r#"["GET"]"#, r#"["/a"]"#), &()).unwrap_err();
        assert!(error.contains("sealed"), "{error}");
    }
}
