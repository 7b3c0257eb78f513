//! The task: role-based access control with n rules, and what everybody is asked.

/// One rule: this role may GET everything below this path.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Who.
    pub role: &'static str,
    /// Where: `/api/v7/users` and what is below it.
    pub below: String,
}

/// What is asked, as a guard in front of a router knows it: the template that the router matched.
/// All engines are given this very text, so that none has to do more than the others.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: &'static str,
    /// The template of the route.
    pub route: String,
    /// The caller's roles, from the token.
    pub roles: &'static [&'static str],
    /// What must be answered.
    pub allowed: bool,
}

/// The roles of most callers.
pub const ROLES: &[&str] = &["role2", "admin"];

/// The template under a version of the API.
pub fn route(version: usize) -> String {
    format!("/api/v{version}/users/{{id}}/items/{{item}}")
}

/// `count` rules: all but one for the role `admin`, so that looking at the caller's roles leaves
/// nearly all of them to be compared with the path; one for `role2`, elsewhere.
pub fn rules(count: usize) -> Vec<Rule> {
    let admin = (1..count).map(|n| Rule { role: "admin", below: format!("/api/v{n}/users") });
    admin.chain([Rule { role: "role2", below: "/reports".to_owned() }]).collect()
}

/// The version of the API whose rule covers what is timed: ten before the last, so that nearly all
/// are compared.
pub fn covered(count: usize) -> usize {
    count - (count / 2).min(10)
}

/// What is timed: an allowed request.
pub fn timed(count: usize) -> Asked {
    Asked { method: "GET", route: route(covered(count)), roles: ROLES, allowed: true }
}

/// The same rules, and one more for the route that is timed, of a role that the caller has not got
/// and is asked for first: so `rbac` makes five reads (action, route, method, two roles).
pub fn rules_with_five_reads(count: usize) -> Vec<Rule> {
    let first = Rule { role: "accountant", below: format!("/api/v{}/users", covered(count)) };
    [first].into_iter().chain(rules(count)).collect()
}

/// What must be answered alike before anything is timed.
pub fn checked(count: usize) -> Vec<Asked> {
    let asked = |method, route, roles, allowed| Asked { method, route, roles, allowed };
    vec![
        timed(count),
        asked("GET", route(1), ROLES, true),
        asked("GET", "/reports/{year}".to_owned(), ROLES, true),
        asked("GET", "/reports/{year}".to_owned(), &["admin"], false),
        asked("POST", route(covered(count)), ROLES, false),
        asked("GET", route(count + 1), ROLES, false),
        asked("GET", route(covered(count)), &["role2"], false),
        asked("GET", "/api".to_owned(), ROLES, false),
        asked("GET", "/elsewhere/{id}".to_owned(), ROLES, false),
    ]
}
