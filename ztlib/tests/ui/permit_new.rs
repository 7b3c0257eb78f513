//~ E0624
pub fn forge() -> ztlib::enforce::Permit {
    ztlib::enforce::Permit::new(todo!())
}
