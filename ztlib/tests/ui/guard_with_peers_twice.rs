//~ E0599
pub fn twice() {
    let _ = ztlib::enforce::Guard::builder().peers_from_layer().allow_unauthenticated_peers();
}
