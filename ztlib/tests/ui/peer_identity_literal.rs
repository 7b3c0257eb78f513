//~ E0423
pub fn forge() -> ztlib::authenticate::peer::PeerIdentity {
    ztlib::authenticate::peer::PeerIdentity(todo!())
}
