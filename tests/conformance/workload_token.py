"""Prints a workload token and the public key of its signer, both made by Airflow's own code. Argument: ed25519 or rsa."""

import json
import sys
import uuid

from airflow.api_fastapi.auth.tokens import JWTGenerator, key_to_jwk_dict, thumbprint
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

key = (
    ed25519.Ed25519PrivateKey.generate()
    if sys.argv[1] == "ed25519"
    else rsa.generate_private_key(public_exponent=65537, key_size=2048)
)
jwk = key_to_jwk_dict(key.public_key())
kid = thumbprint(jwk)
generator = JWTGenerator(
    private_key=key,
    kid=kid,
    audience="urn:airflow.apache.org:task",
    issuer=None,
    valid_for=600,
)
subject = str(uuid.uuid4())
token = generator.generate({"sub": subject, "scope": "workload"})
execution = generator.generate({"sub": subject, "scope": "execution"})
print(json.dumps({"token": token, "execution": execution, "subject": subject, "jwk": {**jwk, "kid": kid}}))
