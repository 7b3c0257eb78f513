#![doc = include_str!("../README.md")]
#![no_std]

/// Role-based access control: a caller has roles, and a role has permissions.
///
/// It allows where one of the caller's roles has a permission that covers the method and route, or
/// the action, and denies everything else. It never abstains.
///
/// ```yaml
/// roles:                              # who has which role; at least one of the four
///   claims: [/roles]                  # claims of the token (JSON pointers) with role names
///   groups:                           # roles by group
///     claim: /groups
///     roles: { warehouse: [clerk] }
///   peers:                            # roles by SPIFFE ID
///     - { match: "spiffe://shop.example/batch/*", roles: [clerk] }
///   document:                         # roles by a document that the policy set declares
///     name: roles
///     pointer: "/users/{subject}"
/// permissions:                        # role: what it may do
///   clerk:
///     - { methods: [GET], routes: ["/orders/{id}"] }
///   admin:
///     - { methods: ["*"], routes: ["/**"] }
///     - { actions: [orders.cancel] }
/// ```
///
/// `methods` are spelled as in HTTP, `"*"` is any, and GET does not stand for HEAD. `routes` are
/// the router's templates; a last segment `*` is any one segment, a last `**` the rest. `actions`
/// are what the application asks by `Guard::ask`. A claim or document counts for the service's
/// first issuer alone, unless `issuers: ["https://…"]` beside it names others. Unknown members,
/// empty lists, and rules that nothing can match are errors when the policy is loaded.
///
/// **Reasons** ([`RBAC_REASONS`]): `no-rule`: no permission covers the question; `no-role`: the
/// caller has none of the roles that have one.
///
/// **Reads**: `action`, `route`, `method` where a permission for the route names one; then, role by
/// role until one is held, `from-home-issuer` or `issuer`, and `claim-contains`, `peer-matches` or
/// `data-contains`.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::{PolicySetBuilder, cases::Cases};
///
/// let policies = PolicySetBuilder::new()
///     .component("rbac", ztlib_policies::RBAC)
///     .reasons(ztlib_policies::RBAC_REASONS)
///     .config(serde_json::json!({
///         "roles": { "claims": ["/roles"] },
///         "permissions": { "clerk": [{ "methods": ["GET"], "routes": ["/orders/{id}"] }] },
///     }))
///     .load()?;
/// let cases = r#"
/// format = 1
/// [[case]]
/// name = "a clerk reads an order"
/// path = "/orders/7"
/// route = "/orders/{id}"
/// claims = { roles = ["clerk"] }
/// expect = "allow"
/// [[case]]
/// name = "a guest does not"
/// path = "/orders/7"
/// route = "/orders/{id}"
/// claims = { roles = ["guest"] }
/// expect = "deny"
/// reason = "no-role"
/// "#;
/// let report = policies.test(&Cases::parse(Path::new("rbac.toml"), cases)?)?;
/// assert_eq!(report.passed(), 2);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub const RBAC: &[u8] = include_bytes!("../components/rbac.wasm");

/// The SHA-256 digest of [`RBAC`], in hexadecimal, as a manifest pins it.
pub const RBAC_SHA256: &str = include_str!("../components/rbac.sha256");

/// The reasons with which [`RBAC`] denies.
pub const RBAC_REASONS: [&str; 2] = ["no-rule", "no-role"];

/// Which peers (client certificates) may call which routes.
///
/// One rule that covers the question and names the peer is enough. Everything else is denied, a
/// caller without a certificate included. It never abstains.
///
/// ```yaml
/// rules:
///   - peers: ["spiffe://shop.example/web", "spiffe://shop.example/batch/**"]
///     methods: [GET, POST]
///     routes: ["/orders/**"]
///   - named-peers:                      # peers without a SPIFFE ID
///       - authority: partners           # the name under which the service trusts the authority
///         dns-name: erp.partner.example # a DNS name of the certificate, in full; no wildcards
///     methods: [GET]
///     routes: ["/orders/{id}"]
/// ```
///
/// In `peers` the trust domain is literal; in the path `*` is one segment and a last `**` the rest.
/// `methods`, `routes` and `actions` are as in [`RBAC`].
///
/// **Reason** ([`PEER_ALLOW_LIST_REASONS`]): `peer-not-allowed`.
///
/// **Reads**: `action`, `route`, `method`; then `peer-matches` for the patterns of the rules that
/// cover the question until one matches, and `peer-authority` and `peer-has-dns-name` for named
/// peers.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::{PolicySetBuilder, cases::Cases};
///
/// let policies = PolicySetBuilder::new()
///     .component("peers", ztlib_policies::PEER_ALLOW_LIST)
///     .reasons(ztlib_policies::PEER_ALLOW_LIST_REASONS)
///     .config(serde_json::json!({ "rules": [
///         { "methods": ["POST"], "routes": ["/payments"],
///           "peers": ["spiffe://shop.example/web"] },
///     ] }))
///     .load()?;
/// let cases = r#"
/// format = 1
/// [[case]]
/// name = "the web server pays"
/// method = "POST"
/// path = "/payments"
/// route = "/payments"
/// peer = "spiffe://shop.example/web"
/// expect = "allow"
/// [[case]]
/// name = "the search server does not"
/// method = "POST"
/// path = "/payments"
/// route = "/payments"
/// peer = "spiffe://shop.example/search"
/// expect = "deny"
/// reason = "peer-not-allowed"
/// "#;
/// let report = policies.test(&Cases::parse(Path::new("peers.toml"), cases)?)?;
/// assert_eq!(report.passed(), 2);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub const PEER_ALLOW_LIST: &[u8] = include_bytes!("../components/peer-allow-list.wasm");

/// The SHA-256 digest of [`PEER_ALLOW_LIST`], in hexadecimal, as a manifest pins it.
pub const PEER_ALLOW_LIST_SHA256: &str = include_str!("../components/peer-allow-list.sha256");

/// The reason with which [`PEER_ALLOW_LIST`] denies.
pub const PEER_ALLOW_LIST_REASONS: [&str; 1] = ["peer-not-allowed"];

/// Which scopes of the bearer token (`scope`, RFC 8693 section 4.2) a route needs.
///
/// Every rule that covers the question must be met; what no rule covers is denied. It never
/// abstains.
///
/// ```yaml
/// rules:
///   - methods: [GET]
///     routes: ["/orders", "/orders/{id}"]
///     scopes: ["orders:read"]                 # all of these
///   - methods: [DELETE]
///     routes: ["/orders/**"]
///     any-scope: ["orders:admin", "admin"]    # at least one of these
///   - methods: [GET]
///     routes: ["/catalogue/**"]
///     without-scope: true                     # open to every caller that the guard lets this far
/// ```
///
/// A rule has `scopes`, `any-scope` or both, or `without-scope: true` alone. Scopes are compared
/// letter case included. Those of the service's first issuer count, unless the rule has `issuers:
/// ["https://…"]`. `methods`, `routes` and `actions` are as in [`RBAC`].
///
/// **Reasons** ([`TOKEN_SCOPE_REASONS`]): `no-rule`: no rule covers the question; `missing-scope`,
/// with a message for the caller that names the scope.
///
/// **Reads**: `action`, `route`, `method`, `from-home-issuer` or `issuer`, and `has-scope` for each
/// scope that a covering rule names, until one is missing.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::{PolicySetBuilder, cases::Cases};
///
/// let policies = PolicySetBuilder::new()
///     .component("scopes", ztlib_policies::TOKEN_SCOPE)
///     .reasons(ztlib_policies::TOKEN_SCOPE_REASONS)
///     .config(serde_json::json!({ "rules": [
///         { "methods": ["GET"], "routes": ["/orders/{id}"], "scopes": ["orders:read"] },
///     ] }))
///     .load()?;
/// let cases = r#"
/// format = 1
/// [[case]]
/// name = "the scope is enough"
/// path = "/orders/7"
/// route = "/orders/{id}"
/// claims = { scope = "orders:read" }
/// expect = "allow"
/// [[case]]
/// name = "another scope is not"
/// path = "/orders/7"
/// route = "/orders/{id}"
/// claims = { scope = "orders:list" }
/// expect = "deny"
/// reason = "missing-scope"
/// message = "the scope orders:read is needed"
/// "#;
/// let report = policies.test(&Cases::parse(Path::new("scopes.toml"), cases)?)?;
/// assert_eq!(report.passed(), 2);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub const TOKEN_SCOPE: &[u8] = include_bytes!("../components/token-scope.wasm");

/// The SHA-256 digest of [`TOKEN_SCOPE`], in hexadecimal, as a manifest pins it.
pub const TOKEN_SCOPE_SHA256: &str = include_str!("../components/token-scope.sha256");

/// The reasons with which [`TOKEN_SCOPE`] denies.
pub const TOKEN_SCOPE_REASONS: [&str; 2] = ["no-rule", "missing-scope"];

/// A stronger or fresher login for some routes.
///
/// Every rule that covers the question must be met. Where no rule does it abstains: give it
/// `may_abstain()` (in a manifest `may-abstain = true`), and put a policy beside it that says who
/// may do what. Alone it would let in everybody who logged in well. Its denial is a challenge of
/// RFC 9470, so that a client can send the user to log in again.
///
/// ```yaml
/// rules:
///   - methods: [POST]
///     routes: ["/transfers/**"]
///     acr: ["urn:shop:gold"]          # the login's class is one of these
///     max-age: 300                    # and the login was at most this many seconds ago
///   - methods: ["*"]
///     routes: ["/admin/**"]
///     amr: [mfa, hwk]                 # one of these methods was used (RFC 8176)
///     challenge-acr: "urn:shop:gold"  # the class to ask for: a method cannot be asked for
/// ```
///
/// A rule has at least one of `acr`, `amr` and `max-age`, and all that it has must hold. Logins at
/// the service's first issuer count, unless the rule has `issuers: ["https://…"]`. `methods`,
/// `routes` and `actions` are as in [`RBAC`].
///
/// **Reason** ([`STEP_UP_REASONS`]): `step-up-required`.
///
/// **Reads**: `action`, `route`, `method`, and on covered routes `from-home-issuer` or `issuer`,
/// `uses-method`, `acr-is` and `authenticated-within`, as far as the rules name them.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::{PolicySetBuilder, cases::Cases};
///
/// let policies = PolicySetBuilder::new()
///     .component("step-up", ztlib_policies::STEP_UP)
///     .may_abstain()
///     .reasons(ztlib_policies::STEP_UP_REASONS)
///     .config(serde_json::json!({ "rules": [
///         { "methods": ["*"], "routes": ["/admin/**"], "amr": ["mfa"],
///           "challenge-acr": "urn:shop:gold" },
///     ] }))
///     .load()?;
/// let cases = r#"
/// format = 1
/// [[case]]
/// name = "a second factor will do"
/// path = "/admin/users"
/// route = "/admin/users"
/// claims = { amr = ["pwd", "mfa"] }
/// expect = "allow"
/// [[case]]
/// name = "a password alone will not"
/// path = "/admin/users"
/// route = "/admin/users"
/// claims = { amr = ["pwd"] }
/// expect = "deny"
/// reason = "step-up-required"
/// step-up = { acr = "urn:shop:gold" }
/// [[case]]
/// name = "other routes are left to other policies"
/// path = "/orders"
/// route = "/orders"
/// expect = "abstain"
/// "#;
/// let report =
///     policies.test(&Cases::parse(Path::new("step-up.toml"), cases)?.about("step-up"))?;
/// assert_eq!(report.passed(), 3);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub const STEP_UP: &[u8] = include_bytes!("../components/step-up.wasm");

/// The SHA-256 digest of [`STEP_UP`], in hexadecimal, as a manifest pins it.
pub const STEP_UP_SHA256: &str = include_str!("../components/step-up.sha256");

/// The reason with which [`STEP_UP`] denies.
pub const STEP_UP_REASONS: [&str; 1] = ["step-up-required"];

/// Own tenant, own object, an amount below a limit, hours in a time zone, a label or signal with a
/// certain value.
///
/// Every rule that covers the question must be met, with all conditions that it requires. Where no
/// rule does it abstains: give it `may_abstain()` (in a manifest `may-abstain = true`), and put a
/// policy beside it that says who may do what. Alone it would let in everybody in the right tenant.
///
/// ```yaml
/// rules:
///   - methods: ["*"]                       # own tenant
///     routes: ["/tenants/{tenant}/**"]
///     require:
///       - { param: tenant, is: { claim: /tenant } }
///   - actions: [invoice.approve]           # what a handler asks by `Guard::ask`, with labels
///     require:
///       - { label: amount, at-most: 1000 } # or below, at-least, above
///       - { label: owner, is: subject }
///   - methods: [POST]
///     routes: ["/payments"]
///     require:
///       - { hours: "mon-fri 08:00-18:00", zone: Europe/Berlin }
///       - { signal: risk, is: [low, none] }
///       - { claim: /features, has: payments }
/// ```
///
/// A condition asks about a `param`, `label`, `claim`, `signal` or `hours`. What is absent, empty
/// or of another kind (a number where a text is asked for) is never the same as anything, and
/// within no bounds. Subjects and claims of the service's first issuer count, unless the rule has
/// `issuers: ["https://…"]`. Zones are names of the IANA time zone database, or offsets
/// (`"+01:00"`). `methods`, `routes` and `actions` are as in [`RBAC`].
///
/// **Reason** ([`CONDITIONS_REASONS`]): `condition-not-met`. The log of the audit event names the
/// rule and the condition.
///
/// **Reads**: `action`, `route`, `method`; then, condition by condition until one does not hold,
/// `param`, `label`, `signal`, `in-window` (with `before` where summer time matters), and
/// `from-home-issuer` or `issuer` before `subject`, `claim-json` and `claim-contains`.
///
/// ```
/// use std::path::Path;
/// use ztlib::policies::{PolicySetBuilder, cases::Cases};
///
/// let policies = PolicySetBuilder::new()
///     .component("conditions", ztlib_policies::CONDITIONS)
///     .may_abstain()
///     .reasons(ztlib_policies::CONDITIONS_REASONS)
///     .config(serde_json::json!({ "rules": [
///         { "methods": ["*"], "routes": ["/tenants/{tenant}/**"],
///           "require": [{ "param": "tenant", "is": { "claim": "/tenant" } }] },
///     ] }))
///     .load()?;
/// let cases = r#"
/// format = 1
/// [[case]]
/// name = "a tenant sees its own invoices"
/// path = "/tenants/acme/invoices"
/// route = "/tenants/{tenant}/invoices"
/// claims = { tenant = "acme" }
/// expect = "allow"
/// [[case]]
/// name = "and nobody else's"
/// path = "/tenants/umbrella/invoices"
/// route = "/tenants/{tenant}/invoices"
/// claims = { tenant = "acme" }
/// expect = "deny"
/// reason = "condition-not-met"
/// [[case]]
/// name = "other routes are left to other policies"
/// path = "/orders"
/// route = "/orders"
/// expect = "abstain"
/// "#;
/// let report =
///     policies.test(&Cases::parse(Path::new("tenants.toml"), cases)?.about("conditions"))?;
/// assert_eq!(report.passed(), 3);
/// # Ok::<(), ztlib::policies::LoadError>(())
/// ```
pub const CONDITIONS: &[u8] = include_bytes!("../components/conditions.wasm");

/// The SHA-256 digest of [`CONDITIONS`], in hexadecimal, as a manifest pins it.
pub const CONDITIONS_SHA256: &str = include_str!("../components/conditions.sha256");

/// The reason with which [`CONDITIONS`] denies.
pub const CONDITIONS_REASONS: [&str; 1] = ["condition-not-met"];
