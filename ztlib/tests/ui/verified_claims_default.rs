//~ E0277
pub fn forge() -> ztlib::authenticate::token::VerifiedClaims {
    fn of<T: Default>() -> T {
        T::default()
    }
    of()
}
