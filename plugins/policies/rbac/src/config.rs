//! The configuration, as it is written and as it is used.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{Members, Names, NonEmpty, PeerPattern, Pointer, Text, from_json};
use ztlib_policy::config_struct;
use ztlib_policy::rules::{Covers, Rules};

use crate::{Document, Rbac, Role};

config_struct! {
    struct Config<'a> {
        roles: Sources<'a> = "roles",
        permissions: Members<'a, NonEmpty<Permission<'a>>> = "permissions",
    }
}

config_struct! {
    struct Sources<'a> {
        claims: Vec<Pointer<'a>> = "claims",
        groups: Option<Groups<'a>> = "groups",
        peers: Vec<Peers<'a>> = "peers",
        document: Option<DocumentSource<'a>> = "document",
    }
}

config_struct! {
    struct Groups<'a> {
        claim: Pointer<'a> = "claim",
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
        pointer: Pointer<'a> = "pointer",
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
    if sources.claims.is_empty()
        && sources.groups.is_none()
        && sources.peers.is_empty()
        && sources.document.is_none()
    {
        return Err("roles: nobody has a role; give `claims`, `groups`, `peers` or `document`".to_string());
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
    let mut group_claim: Box<str> = Box::default();
    if let Some(groups) = sources.groups {
        group_claim = groups.claim.as_str().into();
        for (group, of_group) in groups.roles.0 {
            for name in of_group {
                let number = known(&name, &|| format!("roles.groups.roles.{group}"))?;
                if let Some(role) = roles.get_mut(number) {
                    role.groups.push((*group).into());
                }
            }
        }
    }
    for (at, peers) in sources.peers.into_iter().enumerate() {
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
    Ok(Rbac {
        claims: sources.claims.iter().map(|pointer| pointer.as_str().into()).collect(),
        group_claim,
        document: sources.document.map(|document| Document {
            name: document.name.as_str().into(),
            pointer: document.pointer.as_str().into(),
        }),
        permissions,
    })
}
