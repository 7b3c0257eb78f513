//! A shop: an ordinary axum router. The guard goes around all of it.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use ztlib::authorize::Labels;
use ztlib::enforce::{Ask, Guard};
use ztlib_axum::{GuardedRouter, PeerIdentity, Permit, Principal, Refused};

pub fn guarded(guard: Guard) -> GuardedRouter {
    let router = Router::new()
        .route("/orders/{id}", get(show).delete(cancel))
        .route("/orders/{id}/refund", post(refund))
        .route("/orders/{id}/invoice", get(invoice))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(guard.clone());
    GuardedRouter::new(guard, router)
}

async fn show(Path(id): Path<String>, peer: PeerIdentity, principal: Principal) -> Json<Value> {
    let user = principal.claims().and_then(|claims| claims.subject()).unwrap_or("nobody");
    Json(json!({ "order": id, "for": user, "through": peer.0.to_string() }))
}

async fn cancel(Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "cancelled": id }))
}

async fn refund(Path(id): Path<String>, permit: Permit) -> Json<Value> {
    Json(json!({ "refunded": id, "permit": permit.id().to_string() }))
}

/// A handler that must decide on the object that it loaded: every viewer may come here, not
/// everybody may see each invoice.
async fn invoice(
    State(guard): State<Guard>,
    Path(id): Path<String>,
    principal: Principal,
) -> Result<Json<Value>, Refused> {
    let labels = Labels::new().with("classification", "financial").with("order", id.as_str());
    guard.ask_about(&principal, Ask::new("invoices.read").object("invoice", id.as_str()).labels(labels))?;
    Ok(Json(json!({ "invoice": id, "total": 42 })))
}
