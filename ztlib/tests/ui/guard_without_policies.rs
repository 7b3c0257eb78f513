//~ E0599
pub fn incomplete() {
    let _ = ztlib::enforce::Guard::builder().allow_unauthenticated_peers().allow_requests_without_token().build();
}
