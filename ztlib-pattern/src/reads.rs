//! Every question that a policy can ask, one row each: the functions of the contract's interfaces
//! `request`, `principal` and `context` (`wit/policy.wit`).

/// Hands the table of reads to another macro.
///
/// A row is `Variant method "function" (argument: kind, …) -> value, of whose flags…, about Kind
/// name, rather "narrower"`:
///
/// - the arguments, where there are any: `text`, `seconds` (32 bits), `moment` (seconds since 1970)
///   or `number`;
/// - the value: `yes`, `text`, `texts`, `moment`, or `maybe_text`, `maybe_number`, `maybe_yes`,
///   which can be absent;
/// - whose it is: `Caller` (nothing but who calls decides it), `Request` (what this request sent),
///   `Service` (what the service and its server say), `Time`, or `Document`;
/// - flags: `Private` (audit events hide it), `Word` (an issuer's word, without saying which
///   issuer's), `Issuer` (it asks who issued the token);
/// - the attribute behind it: its kind, and its name where there are several of the kind;
/// - what to ask instead, where the answers vary so much that decisions are hardly ever found
///   again.
///
/// ```
/// macro_rules! functions {
///     ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
///         $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
///         of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
///         $(, rather $rather:literal)?;)* })*) => {
///         const FUNCTIONS: &[&str] = &[$($($function),*),*];
///     };
/// }
/// ztlib_pattern::reads!(functions);
/// assert!(FUNCTIONS.contains(&"has-scope"));
/// ```
#[macro_export]
macro_rules! reads {
    ($then:ident) => {
        $then! {
            request {
                /// The application's name for what is asked ("orders.cancel") where a handler asks;
                /// absent for an incoming request.
                Action action "action" -> maybe_text, of Service, about Action;

                /// The method, exactly as sent; a gRPC call is a "POST". A fault where `action` is
                /// given and there is no request: look at `action` first. The same holds for `host`
                /// and `path`.
                Method method "method" -> text, of Request, about Method;

                /// The one host that the request names, in lower case, without the port and without
                /// a trailing dot.
                Host host "host" -> text, of Request, about Host,
                    rather "in a policy set of its own for each host, or `route`";

                /// The path, exactly as the router sees it.
                Path path "path" -> text, of Request, about Path, rather "`route` or `path-matches`";

                /// The template of the route that the router matched ("/orders/{id}"); absent where
                /// no route matched.
                Route route "route" -> maybe_text, of Service, about Route;

                /// A parameter of the route, decoded; absent where the route has none of this name.
                Param param "param" (name: text) -> maybe_text, of Request, about Param name,
                    rather "`data-contains` with `{param:…}`, or a label";

                /// Whether the path matches a pattern: `*` is one segment, `**` at the end is the
                /// rest. A malformed one is a fault.
                PathMatches path_matches "path-matches" (pattern: text) -> yes, of Service, about Path;

                /// The value of a header that occurs at most once; a fault where it occurs more
                /// often, is not UTF-8 or carries secrets.
                Header header "header" (name: text) -> maybe_text, of Request Private, about Header name,
                    rather "for a label, in which the application puts what matters of it, or copy it (`{header:…}`)";

                /// Whether the request has this header, once or more often, whatever is in it; a
                /// fault where it carries secrets.
                HasHeader has_header "has-header" (name: text) -> yes, of Request, about Header name;

                /// All values of a header, in order.
                HeaderValues header_values "header-values" (name: text) -> texts, of Request Private,
                    about Header name,
                    rather "for a label, in which the application puts what matters of it, or copy it (`{header:…}`)";

                /// The names of all headers in lower case, sorted, each once.
                HeaderNames header_names "header-names" -> texts, of Request Private, about HeaderNames,
                    rather "for a label, in which the application puts what matters of it, or copy it (`{header:…}`)";

                /// The value of a query parameter that occurs at most once, decoded; a fault where
                /// it occurs more often.
                Query query "query" (name: text) -> maybe_text, of Request Private, about Query name,
                    rather "for a label, in which the application puts what matters of it, or copy it (`{header:…}`)";

                /// What the application attached to the request or the question under this name.
                Label label "label" (name: text) -> maybe_text, of Service Private, about Label name,
                    rather "for a label that says less: what matters of the object, and not which one it is";
            }

            principal {
                /// Whether the connection presented a client certificate that was verified.
                HasPeer has_peer "has-peer" -> yes, of Caller, about Peer;

                /// The peer's SPIFFE ID; absent where there is no peer or its identity is not a
                /// SPIFFE ID.
                PeerSpiffeId peer_spiffe_id "peer-spiffe-id" -> maybe_text, of Caller, about Peer,
                    rather "`data-contains` with `{subject}` or `{peer}`, or `peer-matches`";

                /// The peer's SPIFFE trust domain.
                PeerTrustDomain peer_trust_domain "peer-trust-domain" -> maybe_text, of Caller, about Peer;

                /// The name under which the service trusts the authority of a peer that has no
                /// SPIFFE ID.
                PeerAuthority peer_authority "peer-authority" -> maybe_text, of Caller, about Peer;

                /// The DNS names in the certificate of a peer that has no SPIFFE ID, sorted.
                PeerDnsNames peer_dns_names "peer-dns-names" -> texts, of Caller, about Peer,
                    rather "`peer-has-dns-name`";

                /// Whether the peer's SPIFFE ID matches a pattern ("spiffe://example.org/shop/*").
                /// A malformed one is a fault.
                PeerMatches peer_matches "peer-matches" (pattern: text) -> yes, of Caller, about Peer;

                /// Whether the certificate of a peer without SPIFFE ID has this DNS name, without
                /// regard to ASCII case.
                PeerHasDnsName peer_has_dns_name "peer-has-dns-name" (name: text) -> yes, of Caller,
                    about Peer;

                /// Whether the request brought a bearer token that was verified.
                HasToken has_token "has-token" -> yes, of Caller, about Token;

                /// Whether the token's issuer is the service's home issuer; false where there is no
                /// token.
                ///
                /// The subject `alice` of another issuer is another alice, and its role `admin`
                /// another role. A policy that allows by what a token says and asks neither this
                /// nor `issuer` is a fault for a token of another issuer.
                FromHomeIssuer from_home_issuer "from-home-issuer" -> yes, of Caller Issuer, about Token;

                /// The token's issuer.
                Issuer issuer "issuer" -> maybe_text, of Caller Issuer, about Claim "/iss";

                /// The token's subject.
                Subject subject "subject" -> maybe_text, of Caller Word, about Claim "/sub",
                    rather "`data-contains` with `{subject}` or `{peer}`, or `peer-matches`";

                /// Whether the token's `scope` holds this scope.
                HasScope has_scope "has-scope" (scope: text) -> yes, of Caller Word, about Claim "/scope";

                /// All scopes of the token, sorted, each once.
                Scopes scopes "scopes" -> texts, of Caller Word Private, about Claim "/scope",
                    rather "`has-scope`";

                /// Whether the token names this audience.
                HasAudience has_audience "has-audience" (audience: text) -> yes, of Caller Word,
                    about Claim "/aud";

                /// A claim by JSON pointer (RFC 6901) that is a string; a fault where it is of
                /// another type.
                ClaimString claim_string "claim-string" (pointer: text) -> maybe_text,
                    of Caller Word Private, about Claim pointer,
                    rather "`claim-contains` or `before-claim`, or copy it (`{claim:…}`)";

                /// A claim that is an integer; as `claim-string`.
                ClaimInt claim_int "claim-int" (pointer: text) -> maybe_number, of Caller Word Private,
                    about Claim pointer,
                    rather "`claim-contains` or `before-claim`, or copy it (`{claim:…}`)";

                /// A claim that is a boolean; as `claim-string`.
                ClaimBool claim_bool "claim-bool" (pointer: text) -> maybe_yes, of Caller Word,
                    about Claim pointer;

                /// A claim of any type, as JSON text with sorted members and no white space.
                ClaimJson claim_json "claim-json" (pointer: text) -> maybe_text, of Caller Word Private,
                    about Claim pointer,
                    rather "`claim-contains` or `before-claim`, or copy it (`{claim:…}`)";

                /// Whether a claim is this string, or an array that holds it; false where there is
                /// no such claim.
                ClaimContains claim_contains "claim-contains" (pointer: text, value: text) -> yes,
                    of Caller Word, about Claim pointer;

                /// Whether the user's last active login is at most this many seconds ago; false
                /// where the token does not say.
                AuthenticatedWithin authenticated_within "authenticated-within" (seconds: seconds) -> yes,
                    of Time Word, about Claim "/auth_time";

                /// Whether the login used this method (`amr`, RFC 8176: "mfa", "otp", "hwk").
                UsesMethod uses_method "uses-method" (method: text) -> yes, of Caller Word,
                    about Claim "/amr";

                /// Whether the login's authentication context class (`acr`) is this one.
                AcrIs acr_is "acr-is" (value: text) -> yes, of Caller Word, about Claim "/acr";
            }

            context {
                /// The caller's IP address; absent where the service does not know it.
                RemoteIp remote_ip "remote-ip" -> maybe_text, of Service, about RemoteIp,
                    rather "`remote-ip-in`";

                /// Whether the caller's IP address lies in a network ("10.0.0.0/8"); false where it
                /// is not known.
                RemoteIpIn remote_ip_in "remote-ip-in" (cidr: text) -> yes, of Service, about RemoteIp;

                /// Whether it is earlier than this moment (seconds since 1970-01-01T00:00:00Z).
                Before before "before" (moment: moment) -> yes, of Time, about Time;

                /// Whether it is earlier than the moment in a claim; false where there is no such
                /// claim.
                BeforeClaim before_claim "before-claim" (pointer: text) -> yes, of Time Word,
                    about Claim pointer;

                /// Whether it is now inside a weekly window in UTC: "mon-fri 08:00-18:00". The end
                /// is exclusive.
                InWindow in_window "in-window" (schedule: text) -> yes, of Time, about Time;

                /// The time in seconds since 1970. It keys the decision: prefer `before`.
                Now now "now" -> moment, of Time, about Time,
                    rather "`before`, `in-window` or `authenticated-within`";

                /// A signal that the manifest declares; absent where the service knows that there
                /// is none.
                Signal signal "signal" (name: text) -> maybe_text, of Service Private, about Signal name,
                    rather "`signal-at-least`";

                /// Whether a signal that is a number is at least this one; false where there is
                /// none.
                SignalAtLeast signal_at_least "signal-at-least" (name: text, number: number) -> yes,
                    of Service, about Signal name;

                /// A value in a document that the manifest declares, by JSON pointer, that is a
                /// string. `{issuer}`, `{subject}`, `{peer}`, `{param:id}` and `{claim:/tenant}` in
                /// the pointer stand for their values, one a segment; an absent one returns none.
                ///
                /// Text that was read never goes into a pointer as it is: `~2` and `~3` stand for
                /// braces.
                DataString data_string "data-string" (document: text, pointer: text) -> maybe_text,
                    of Document Private, about Document pointer, rather "`data-contains`";

                /// A value of any type in a document, as JSON text with sorted members and no white
                /// space.
                DataJson data_json "data-json" (document: text, pointer: text) -> maybe_text,
                    of Document Private, about Document pointer, rather "`data-contains`";

                /// Whether a value in a document is this string, or an array that holds it, or an
                /// object that has it as a member. `value` is compared as it is: it may be text of
                /// a caller.
                DataContains data_contains "data-contains" (document: text, pointer: text, value: text)
                    -> yes, of Document, about Document pointer;
            }
        }
    };
}
