//~ E0423
pub fn forge() -> ztlib::authenticate::token::VerifiedClaims {
    ztlib::authenticate::token::VerifiedClaims(todo!())
}
