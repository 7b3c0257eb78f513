//~ E0624
pub fn forge() -> ztlib::authenticate::peer::PeerIdentity {
    ztlib::authenticate::peer::PeerIdentity::new(todo!(), todo!(), todo!(), todo!(), todo!())
}
