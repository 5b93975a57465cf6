"""Tokens for the tests of OpenID Connect, made by another library: good ones, forged ones, odd ones."""

import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

issuer, audience = sys.argv[1:3]
now = int(time.time())
key, other = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
short = rsa.generate_private_key(65537, 1024)
curve, curve384, edwards = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()


def b64(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(private, kid, **more):
    public = private.public_key()
    algorithm = {rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
                 ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm}
    kind = next(kind for of, kind in algorithm.items() if isinstance(public, of))
    return {**json.loads(kind.to_jwk(public)), "kid": kid, **more}


def claims(**changes):
    all = {"iss": issuer, "aud": audience, "sub": "alice", "exp": now + 600, "nbf": now - 5, "iat": now - 5, **changes}
    return {name: value for name, value in all.items() if value != "absent"}


def token(payload=None, signer=key, algorithm="RS256", **header):
    header = {"kid": "one", **header}
    return jwt.encode(payload or claims(), signer, algorithm=algorithm, headers={k: v for k, v in header.items() if v is not None})


def raw(header, payload, sign=lambda message: b""):
    message = f"{b64(header)}.{payload if isinstance(payload, str) else b64(payload)}"
    return f"{message}.{b64(sign(message.encode()))}"


def rs256(signer):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    return lambda message: signer.sign(message, padding.PKCS1v15(), hashes.SHA256())


def hs256(secret):
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


def odd(payload, **header):
    """What the library refuses to make."""
    return raw({"alg": "RS256", "kid": "one", **header}, payload, rs256(key))


public_pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
public_der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
modulus = key.public_key().public_numbers().n.to_bytes(256, "big")
keys = [jwk(key, "one", use="sig", alg="RS256"), jwk(curve, "curve", alg="ES256"), jwk(curve384, "curve384"), jwk(edwards, "edwards"),
        jwk(short, "short"), jwk(other, "encrypt", use="enc"), jwk(other, "ps", alg="PS256"),
        {"kty": "oct", "k": b64(b"secret"), "kid": "oct"}, {"kid": "odd"}, {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}]

good = {
    "plain": token(), "curve": token(signer=curve, algorithm="ES256", kid="curve"), "list of audiences": token(claims(aud=["x", audience])),
    "no nbf": token(claims(nbf="absent")), "no iat": token(claims(iat="absent")), "fraction of a second": token(claims(exp=now + 600.5)),
    "just expired": token(claims(exp=now - 30)), "not quite valid": token(claims(nbf=now + 30)), "access token": token(claims(token_use="access")),
    "at+jwt": token(typ="at+jwt"), "an embedded address": token(jku="https://evil.example/keys"), "more claims": token(claims(scope="a b", groups=[1, None, {"x": "y"}])),
}
bad = {}
for name in ("none", "None", "NONE", "nOnE", ""):
    bad[f"alg {name!r}"] = raw({"alg": name, "typ": "JWT", "kid": "one"}, claims())
    bad[f"alg {name!r}, signed"] = raw({"alg": name, "kid": "one"}, claims(), rs256(key))
for name, secret in {"pem": public_pem, "pem stripped": public_pem.strip(), "der": public_der, "modulus": modulus, "empty": b"", "oct": b"secret"}.items():
    for kid in ("one", "oct"):
        bad[f"HS256 with {name} by {kid}"] = raw({"alg": "HS256", "kid": kid}, claims(), hs256(secret))
for algorithm in ("RS384", "RS512", "PS256"):
    bad[algorithm] = token(algorithm=algorithm)
    bad[f"{algorithm} said of RS256"] = raw({"alg": algorithm, "kid": "one"}, claims(), rs256(key))
for algorithm in ("ES256", "EdDSA", "ES384", "HS384", "RSA-OAEP", 256, None, ["RS256"]):
    bad[f"{algorithm} said of RS256"] = raw({"alg": algorithm, "kid": "one"}, claims(), rs256(key))
bad["RS256 with the curve's id"] = token(kid="curve")
bad["ES256 with the other id"] = token(signer=curve, algorithm="ES256")
bad["RS256 said of ES256"] = raw({"alg": "RS256", "kid": "curve"}, claims(), lambda m: curve.sign(m, ec.ECDSA(__import__("cryptography").hazmat.primitives.hashes.SHA256())))
bad["ES256 in DER"] = raw({"alg": "ES256", "kid": "curve"}, claims(), lambda m: curve.sign(m, ec.ECDSA(__import__("cryptography").hazmat.primitives.hashes.SHA256())))
bad["ES256 of zeros"] = raw({"alg": "ES256", "kid": "curve"}, claims(), lambda m: bytes(64))
bad["ES384"] = token(signer=curve384, algorithm="ES384", kid="curve384")
bad["EdDSA"] = token(signer=edwards, algorithm="EdDSA", kid="edwards")
bad["a short key"] = raw({"alg": "RS256", "kid": "short"}, claims(), rs256(short))
bad["a key for encryption"] = token(signer=other, kid="encrypt")
bad["a key for PS256"] = token(signer=other, kid="ps")
bad["somebody else's key"] = token(signer=other)
bad["an embedded key"] = token(signer=other, jwk=jwk(other, "one"))
bad["an embedded address"] = token(signer=other, jku="https://evil.example/keys")
bad["an embedded certificate"] = token(signer=other, x5u="https://evil.example/cert", x5c=["MIIB"])
for kid in (None, "unknown", "", "../../keys", "one' or '1'='1", "one\x00", "broken", "odd", "x" * 5000):
    bad[f"kid {str(kid)[:20]!r}"] = odd(claims(), kid=kid)
bad["kid as a number"] = odd(claims(), kid=1)
bad["crit"] = odd(claims(), crit=["exp"], exp=now)
bad["b64 false"] = raw({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}, json.dumps(claims()), rs256(key))
for name in ("iss", "aud", "sub", "exp"):
    for value in ("absent", None, [], {}, [None], 7, "", "x" * 3000, True):
        bad[f"{name} is {str(value)[:20]!r}"] = odd(claims(**{name: value}))
for name in ("exp", "nbf", "iat"):
    for value in (str(now + 600), [now], {"n": now}, True, -1, 1e300, "NaN", "tomorrow"):
        if name == "exp" or value != -1:
            bad[f"{name} is {value!r}"] = odd(claims(**{name: value}))
bad["iss as a list"] = odd(claims(iss=[issuer]))
for name, changes in {"expired": {"exp": now - 90}, "not yet": {"nbf": now + 90}, "from the future": {"iat": now + 90}, "other audience": {"aud": "another"},
                      "other audiences": {"aud": ["another", audience + "x"]}, "other issuer": {"iss": issuer + "/"}, "issuer in capitals": {"iss": issuer.upper()},
                      "an id token": {"token_use": "id"}, "a line in the subject": {"sub": "alice\nroot"}}.items():
    bad[name] = token(claims(**changes))
whole = token()
head, body, signature = whole.split(".")
bad["changed"] = f"{head}.{b64(claims(sub='root'))}.{signature}"
bad["without a signature"] = f"{head}.{body}."
bad["two parts"] = f"{head}.{body}"
bad["four parts"] = f"{whole}.{signature}"
bad["padded"] = f"{whole}="
bad["cut"] = whole[:-2]
bad["a blank"] = f"{head}. {body}.{signature}"
bad["twice"] = f"{whole},{whole}"
bad["no object"] = odd([1, 2])
bad["no JSON"] = odd(b64(b"\xff\xfe"))
bad["nested"] = token({"jwt": whole})
bad["encrypted"] = f"{b64({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'one'})}.{signature}.{b64(b'0' * 12)}.{body}.{b64(b'0' * 16)}"
of_client = {"aud": "absent", "client_id": "client-1", "token_use": "access"}
cognito = {
    "good": {"access": token(claims(**of_client)), "without its use": token(claims(**{**of_client, "token_use": "absent"}))},
    "bad": {"other client": token(claims(**{**of_client, "client_id": "client-3"})), "an id token": token(claims(**{**of_client, "token_use": "id"})),
            "no client": token(claims(aud="absent", token_use="access")), "a null audience": odd(claims(**{**of_client, "aud": None})),
            "another audience": token(claims(**{**of_client, "aud": "another"})), "an empty audience": odd(claims(**{**of_client, "aud": []})),
            "clients as a list": odd(claims(**{**of_client, "client_id": ["client-1"]})), "an empty client": token(claims(**{**of_client, "client_id": ""}))},
}
roles = {
    "read": token(claims(sub="r", scope="openid archive.read")), "submit": token(claims(sub="s", scp=["x", "archive.submit"])),
    "admin": token(claims(**{"sub": "a", "cognito:groups": ["staff", "librarians"]})),
    "highest": token(claims(**{"sub": "h", "scope": "archive.read", "cognito:groups": ["librarians"]})),
    "of its subject": token(claims(sub="ci-robot")),
}
no_role = {
    "no claim": token(claims()), "part of a scope": token(claims(scope="archive.reader xarchive.read")),
    "a scope in another claim": token(claims(note="archive.read")), "a group as a word": token(claims(**{"cognito:groups": "staff librarians"})),
    "a group in a list in a list": token(claims(**{"cognito:groups": [["librarians"]]})), "in capitals": token(claims(scope="ARCHIVE.READ")),
    "an object": token(claims(scope={"archive.read": True})), "part of a subject": token(claims(sub="ci-robot2")),
}
reserved = {name: token(claims(sub=name, scope="archive.read")) for name in ("local", "topics")}
print(json.dumps({
    "roles": roles, "no_role": no_role, "reserved": reserved,
    "keys": {"keys": keys}, "good": good, "bad": bad, "cognito": cognito,
    "flood": [token(kid=f"random-{n}") for n in range(200)],
}))
