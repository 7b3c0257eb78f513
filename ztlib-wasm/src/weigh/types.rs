//! How large types of components are, with everything in them: each use of a type is worked out
//! anew by who compiles it.

use wasmtime::wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentFuncType, ComponentOuterAliasKind, ComponentType,
    ComponentTypeDeclaration, ComponentTypeRef, ComponentValType, CoreType, InstanceTypeDeclaration,
    TypeBounds,
};

use super::limits::TYPE_DEPTH;
use super::wide;
use ztlib_contract::engine::EngineError;

/// The index spaces of types, from the outermost component to the innermost type, each type by its
/// size.
#[derive(Default)]
pub(crate) struct Types {
    scopes: Vec<Vec<u64>>,
    /// Of what comes out of an instance it is not known which type it is, only that it is none
    /// larger.
    largest: u64,
    largest_function: u64,
}

impl Types {
    pub(crate) fn open(&mut self) {
        self.scopes.push(Vec::new());
    }

    pub(crate) fn close(&mut self) {
        self.scopes.pop();
    }

    pub(crate) fn push(&mut self, size: u64) {
        self.largest = self.largest.max(size);
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(size);
        }
    }

    /// The size of a type of the innermost scope. One that is not there is refused later, as
    /// malformed.
    pub(crate) fn at(&self, index: u32) -> u64 {
        self.outer(0, index)
    }

    fn outer(&self, count: u32, index: u32) -> u64 {
        let scope = self.scopes.iter().rev().nth(count as usize);
        scope.and_then(|scope| scope.get(index as usize)).copied().unwrap_or(1)
    }

    /// Follows an alias of a type; whether it was one.
    pub(crate) fn alias(&mut self, alias: &ComponentAlias<'_>) -> bool {
        let size = match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                self.outer(*count, *index)
            }
            ComponentAlias::InstanceExport {
                kind: wasmtime::wasmparser::ComponentExternalKind::Type,
                ..
            } => self.largest.max(1),
            _ => return false,
        };
        self.push(size);
        true
    }

    pub(crate) fn size(&mut self, ty: &ComponentType<'_>) -> u64 {
        match ty {
            ComponentType::Defined(ty) => self.defined(ty),
            ComponentType::Func(ty) => self.function(ty),
            ComponentType::Resource { .. } => 1,
            ComponentType::Component(declarations) => {
                self.open();
                let sizes = declarations.iter().map(|declaration| match declaration {
                    ComponentTypeDeclaration::CoreType(ty) => core(ty),
                    ComponentTypeDeclaration::Type(ty) => self.declared(ty),
                    ComponentTypeDeclaration::Alias(alias) => self.aliased(alias),
                    ComponentTypeDeclaration::Export { ty, .. } => self.named(ty),
                    ComponentTypeDeclaration::Import(import) => self.named(&import.ty),
                });
                let size = sum(sizes);
                self.close();
                size
            }
            ComponentType::Instance(declarations) => {
                self.open();
                let sizes = declarations.iter().map(|declaration| match declaration {
                    InstanceTypeDeclaration::CoreType(ty) => core(ty),
                    InstanceTypeDeclaration::Type(ty) => self.declared(ty),
                    InstanceTypeDeclaration::Alias(alias) => self.aliased(alias),
                    InstanceTypeDeclaration::Export { ty, .. } => self.named(ty),
                });
                let size = sum(sizes);
                self.close();
                size
            }
        }
    }

    fn declared(&mut self, ty: &ComponentType<'_>) -> u64 {
        let size = self.size(ty);
        self.push(size);
        size
    }

    fn aliased(&mut self, alias: &ComponentAlias<'_>) -> u64 {
        self.alias(alias);
        1
    }

    /// Something that is imported or exported under a name; a type is one more of the scope.
    pub(crate) fn named(&mut self, ty: &ComponentTypeRef) -> u64 {
        let size = self.reference(ty);
        if let ComponentTypeRef::Type(_) = ty {
            self.push(size);
        }
        size.saturating_add(1)
    }

    pub(crate) fn reference(&self, ty: &ComponentTypeRef) -> u64 {
        match ty {
            ComponentTypeRef::Func(index)
            | ComponentTypeRef::Instance(index)
            | ComponentTypeRef::Component(index)
            | ComponentTypeRef::Type(TypeBounds::Eq(index)) => self.at(*index),
            ComponentTypeRef::Value(ty) => self.value(ty),
            ComponentTypeRef::Module(_) => self.largest.max(1),
            ComponentTypeRef::Type(TypeBounds::SubResource) => 1,
        }
    }

    fn function(&mut self, ty: &ComponentFuncType<'_>) -> u64 {
        let parameters = ty.params.iter().map(|(_, ty)| self.value(ty));
        let size = sum(parameters.chain(ty.result.iter().map(|ty| self.value(ty))));
        self.largest_function = self.largest_function.max(size);
        size
    }

    /// The size of the largest type of a function so far.
    pub(crate) fn largest_function(&self) -> u64 {
        self.largest_function.max(1)
    }

    fn defined(&self, ty: &ComponentDefinedType<'_>) -> u64 {
        use ComponentDefinedType as Type;
        match ty {
            Type::Primitive(_) | Type::Own(_) | Type::Borrow(_) => 1,
            Type::Record(fields) => sum(fields.iter().map(|(_, ty)| self.value(ty))),
            Type::Variant(cases) => {
                sum(cases.iter().map(|case| case.ty.as_ref().map_or(1, |ty| self.value(ty))))
            }
            Type::Tuple(types) => sum(types.iter().map(|ty| self.value(ty))),
            Type::Flags(names) | Type::Enum(names) => wide(names.len()).saturating_add(1),
            Type::List(ty) | Type::Option(ty) => self.value(ty).saturating_add(1),
            Type::Map(key, value) => sum([self.value(key), self.value(value)]),
            Type::FixedLengthList(ty, length) => {
                self.value(ty).saturating_mul(u64::from(*length)).saturating_add(1)
            }
            Type::Result { ok, err } => sum([ok, err].into_iter().flatten().map(|ty| self.value(ty))),
            Type::Future(ty) | Type::Stream(ty) => sum(ty.iter().map(|ty| self.value(ty))),
        }
    }

    fn value(&self, ty: &ComponentValType) -> u64 {
        match ty {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(index) => self.at(*index),
        }
    }
}

/// A core type.
pub(crate) fn core(ty: &CoreType<'_>) -> u64 {
    match ty {
        CoreType::Rec(_) => 1,
        CoreType::Module(declarations) => wide(declarations.len()).saturating_add(1),
    }
}

fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(1, u64::saturating_add)
}

/// Refuses types that may lie too deep in each other, by their bytes: within a type, another begins
/// with the byte that says "a type is declared" and the one that says "of an instance" or "of a
/// component".
pub(crate) fn check_depth(section: &[u8]) -> Result<(), EngineError> {
    let begins = |pair: &&[u8]| matches!(pair, [0x01, 0x41 | 0x42]);
    TYPE_DEPTH.check(wide(section.windows(2).filter(begins).count()))
}
