//~ E0624
pub fn forge(principal: ztlib::authenticate::Principal) -> ztlib::enforce::Permit {
    ztlib::enforce::Permit::new(todo!(), principal, None, todo!(), None)
}
