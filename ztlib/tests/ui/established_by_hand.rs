//~ E0603
pub fn forge() {
    let _ = ztlib::enforce::Established(None::<ztlib::authenticate::peer::PeerIdentity>);
}
