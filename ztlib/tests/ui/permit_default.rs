//~ E0277
pub fn forge() -> ztlib::enforce::Permit {
    fn of<T: Default>() -> T {
        T::default()
    }
    of()
}
