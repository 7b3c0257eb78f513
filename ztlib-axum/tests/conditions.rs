//! The ready policy `conditions` around a router: everybody in their own tenant, and an object that
//! a handler loaded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Router, http::Method};
use http::StatusCode;
use tower::ServiceExt as _;
use ztlib::authorize::Labels;
use ztlib::enforce::{Ask, Guard, Refusal};
use ztlib::policies::{PolicySetBuilder, PolicyStore};
use ztlib_axum::{GuardedRouter, Principal, Refused};
use ztlib_testing::{Events, TestCaller, TestGuard};

/// Clerks may do everything that is in their own tenant, and approve what is theirs and not much.
fn policies() -> PolicyStore {
    PolicySetBuilder::new()
        .component("rbac", ztlib_policies::RBAC)
        .reasons(ztlib_policies::RBAC_REASONS)
        .config(serde_json::json!({
            "roles": { "claims": ["/roles"] },
            "permissions": { "clerk": [
                { "methods": ["*"], "routes": ["/tenants/{tenant}/**", "/status"] },
                { "actions": ["invoice.approve"] },
            ] },
        }))
        .component("conditions", ztlib_policies::CONDITIONS)
        .may_abstain()
        .reasons(ztlib_policies::CONDITIONS_REASONS)
        .config(serde_json::json!({ "rules": [
            { "methods": ["*"], "routes": ["/tenants/{tenant}/**"],
              "require": [{ "param": "tenant", "is": { "claim": "/tenant" } }] },
            { "actions": ["invoice.approve"],
              "require": [{ "label": "amount", "at-most": 1000 }, { "label": "owner", "is": "subject" }] },
        ] }))
        .load()
        .unwrap()
}

/// Approves an invoice that it loaded: 7 is alice's, 8 alice's and of much money, 9 bob's.
async fn approve(
    State(guard): State<Guard>,
    caller: Principal,
    Path((_, id)): Path<(String, String)>,
) -> Result<&'static str, Refused> {
    let (owner, amount) = match &*id {
        "7" => ("alice", "999.90"),
        "8" => ("alice", "1000.01"),
        _ => ("bob", "1"),
    };
    let labels = Labels::new().with("owner", owner).with("amount", amount);
    guard.ask_about(&caller, Ask::new("invoice.approve").object("invoice", id).labels(labels))?;
    Ok("approved")
}

fn shop(test: &TestGuard) -> GuardedRouter {
    let router = Router::new()
        .route("/tenants/{tenant}/invoices", get(async |Path(tenant): Path<String>| format!("of {tenant}")))
        .route("/tenants/{tenant}/invoices/{id}/approval", post(approve))
        .route("/status", get(async || "up"));
    GuardedRouter::new(test.guard(), router.with_state(test.guard()))
}

/// The status, and the code of a refusal.
async fn ask(
    shop: &GuardedRouter,
    caller: &TestCaller,
    method: Method,
    path: &str,
) -> (StatusCode, Option<String>) {
    let request = caller.request(method, path).body(Body::empty()).unwrap();
    let response = shop.clone().oneshot(request).await.unwrap();
    let code = response.extensions().get::<Refusal>().map(|refusal| refusal.code().to_owned());
    (response.status(), code)
}

#[tokio::test]
async fn everybody_stays_in_their_own_tenant() {
    let test = TestGuard::new(policies());
    let shop = shop(&test);
    let alice = test.caller("alice").role("clerk").claim("tenant", "acme");
    let get = |path: &'static str| ask(&shop, &alice, Method::GET, path);
    assert_eq!(get("/tenants/acme/invoices").await, (StatusCode::OK, None));
    let refused = (StatusCode::FORBIDDEN, Some("condition-not-met".to_owned()));
    assert_eq!(get("/tenants/umbrella/invoices").await, refused);
    // Another spelling of the tenant is the same to the policy as it is to the handler.
    assert_eq!(get("/tenants/acm%C3%A9/invoices").await, refused);
    assert_eq!(get("/status").await, (StatusCode::OK, None), "no rule for it, and a role that may");

    let guest = test.caller("gina").claim("tenant", "acme");
    let guest = ask(&shop, &guest, Method::GET, "/tenants/acme/invoices").await;
    assert_eq!(guest, (StatusCode::FORBIDDEN, Some("no-role".to_owned())), "the tenant is no role");
    let nowhere = test.caller("nora").role("clerk");
    assert_eq!(ask(&shop, &nowhere, Method::GET, "/tenants/acme/invoices").await, refused, "of no tenant");
}

#[tokio::test]
async fn an_owner_approves_what_is_theirs_up_to_an_amount() {
    let events = Events::new();
    let test = TestGuard::with(policies(), |guard| guard.audit(events.clone()));
    let shop = shop(&test);
    let alice = test.caller("alice").role("clerk").claim("tenant", "acme");
    let approve = |path: &'static str| ask(&shop, &alice, Method::POST, path);
    assert_eq!(approve("/tenants/acme/invoices/7/approval").await, (StatusCode::OK, None));
    let refused = (StatusCode::FORBIDDEN, Some("condition-not-met".to_owned()));
    for (path, not_met) in [
        ("/tenants/acme/invoices/8/approval", "rules[1].require[0], label amount at-most 1000"),
        ("/tenants/acme/invoices/9/approval", "rules[1].require[1], label owner is subject"),
    ] {
        events.take();
        assert_eq!(approve(path).await, refused, "{path}");
        // The caller learns no more; the audit event says which condition it was.
        let question = events.take().pop().unwrap();
        assert_eq!(question.action(), Some("invoice.approve"));
        assert_eq!(question.log(), [("conditions", &*format!("not met: {not_met}"))]);
    }
}
