//! The configuration, as it is written and as it is used.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{
    DocumentPointer, Error, FromConfig, Issuers, Members, Names, NonEmpty, OneOrMany, PeerPattern, Pointer,
    Reader, Text, from_json,
};
use ztlib_policy::config_struct;
use ztlib_policy::rules::{Covers, Rules};

use crate::{Claim, Document, Group, Rbac, Role};

config_struct! {
    struct Config<'a> {
        roles: Sources<'a> = "roles",
        permissions: Members<'a, NonEmpty<Permission<'a>>> = "permissions",
    }
}

config_struct! {
    struct Sources<'a> {
        claims: Option<NonEmpty<ClaimSource<'a>>> = "claims",
        groups: Option<OneOrMany<Groups<'a>>> = "groups",
        peers: Option<NonEmpty<Peers<'a>>> = "peers",
        document: Option<OneOrMany<DocumentSource<'a>>> = "document",
    }
}

/// A claim that holds names of roles: its pointer alone, or with the issuers whose word counts.
struct ClaimSource<'a> {
    claim: Pointer<'a>,
    issuers: Issuers,
}

config_struct! {
    struct WithIssuers<'a> {
        claim: Pointer<'a> = "claim",
        issuers: Issuers = "issuers",
    }
}

impl<'a> FromConfig<'a> for ClaimSource<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if reader.is_next(b'"') {
            return Ok(Self { claim: Pointer::read(reader)?, issuers: Issuers::default() });
        }
        WithIssuers::read(reader).map(|WithIssuers { claim, issuers }| Self { claim, issuers })
    }

    /// The same claim of other issuers is another source.
    fn key(&self) -> Option<&str> {
        self.claim.key().filter(|_| self.issuers == Issuers::default())
    }
}

config_struct! {
    struct Groups<'a> {
        claim: Pointer<'a> = "claim",
        issuers: Issuers = "issuers",
        roles: Members<'a, NonEmpty<Text<'a>>> = "roles",
    }
}

config_struct! {
    struct Peers<'a> {
        pattern: PeerPattern<'a> = "match",
        roles: NonEmpty<Text<'a>> = "roles",
    }
}

config_struct! {
    struct DocumentSource<'a> {
        name: Text<'a> = "name",
        pointer: DocumentPointer<'a> = "pointer",
        issuers: Option<Issuers> = "issuers",
    }
}

impl DocumentSource<'_> {
    /// Whose subjects and claims are looked up here. None: nobody's, or each issuer's under its own
    /// name.
    fn whose(&self) -> Option<Issuers> {
        let of_any_issuer = self.pointer.is_of_token() && !self.pointer.is_of_issuer();
        let by_default = of_any_issuer.then(Issuers::default);
        self.issuers.clone().or(by_default)
    }
}

config_struct! {
    struct Permission<'a> {
        methods: Option<NonEmpty<Text<'a>>> = "methods",
        routes: Option<NonEmpty<Text<'a>>> = "routes",
        actions: Option<NonEmpty<Text<'a>>> = "actions",
    }
}

pub(crate) fn read(config: &[u8]) -> Result<Rbac, String> {
    let Config { roles: sources, permissions: granted } = from_json(config)?;
    if sources.claims.is_none()
        && sources.groups.is_none()
        && sources.peers.is_none()
        && sources.document.is_none()
    {
        return Err("roles: nobody has a role; give `claims`, `groups`, `peers` or `document`".to_string());
    }
    if granted.0.is_empty() {
        return Err("permissions: nobody may do anything; name a role and what it may do".to_string());
    }
    let (mut names, mut roles) = (Names::new(), Vec::new());
    for (name, _) in &granted.0 {
        if name.is_empty() {
            return Err("permissions: a role has no name".to_string());
        }
        names.add(name);
        roles.push(Role { name: (**name).into(), ..Role::default() });
    }
    // A role that has no permissions is most likely misspelt.
    let known = |name: &Text<'_>, place: &dyn Fn() -> String| {
        let number = names.find(name.as_str());
        number.ok_or_else(|| format!("{}: the role `{}` has no permissions", place(), name.as_str()))
    };
    let mut groups_by = Vec::new();
    for (at, groups) in sources.groups.into_iter().flatten().enumerate() {
        if groups.roles.0.is_empty() {
            return Err("roles.groups.roles: name a group and its roles".to_string());
        }
        for (group, of_group) in groups.roles.0 {
            for name in of_group {
                let number = known(&name, &|| format!("roles.groups.roles.{group}"))?;
                if let Some(role) = roles.get_mut(number) {
                    role.groups.push(Group { by: at as u32, name: (*group).into() });
                }
            }
        }
        groups_by.push(Claim { pointer: groups.claim.as_str().into(), issuers: groups.issuers });
    }
    for (at, peers) in sources.peers.into_iter().flatten().enumerate() {
        for name in peers.roles {
            let number = known(&name, &|| format!("roles.peers[{at}].roles"))?;
            if let Some(role) = roles.get_mut(number) {
                role.peers.push(peers.pattern.as_str().into());
            }
        }
    }
    let mut permissions = Rules::new();
    for ((name, list), role) in granted.0.into_iter().zip(&roles) {
        for (at, Permission { methods, routes, actions }) in list.into_iter().enumerate() {
            permissions
                .add(&Covers { methods, routes, actions }, role)
                .map_err(|error| format!("permissions.{name}[{at}]: {error}"))?;
        }
    }
    // Loops, where iterators in each other would come to twice the code.
    let (mut claims, mut documents) = (Vec::new(), Vec::new());
    for source in sources.claims.iter().flat_map(NonEmpty::as_slice) {
        claims.push(Claim { pointer: source.claim.as_str().into(), issuers: source.issuers.clone() });
    }
    if let Some(all) = sources.document {
        for document in all {
            documents.push(Document {
                issuers: document.whose(),
                name: document.name.as_str().into(),
                pointer: document.pointer.as_str().into(),
            });
        }
    }
    Ok(Rbac { claims, groups: groups_by, documents, permissions })
}
