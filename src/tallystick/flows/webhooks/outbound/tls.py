"""TLS to merchants' endpoints: trusted authorities, and certificate errors in plain text."""

from __future__ import annotations

import ssl
from typing import Final

NO_TLS: Final = "no TLS connection could be made (TLS 1.2 or newer is needed)"

#: OpenSSL's verification errors (X509_V_ERR_*) that receivers' certificates meet, in our words; OpenSSL's texts
#: repeat names and change between versions.
_FAULTS: Final = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate's chain ends in a self-signed certificate that is not trusted",
    20: "the certificate's issuer is not trusted, or an intermediate certificate is missing",
    21: "the certificate's issuer is not trusted, or an intermediate certificate is missing",
    62: "the certificate is not valid for the URL's host name",
    64: "the certificate is not valid for the URL's address",
}


def client_context() -> ssl.SSLContext:
    """Certificates are verified against the URL's host, by the system's trusted authorities, or by those named in
    OpenSSL's variables SSL_CERT_FILE and SSL_CERT_DIR."""
    return ssl.create_default_context()


def certificate_fault(error: object) -> str:
    """The fault of a receiver's certificate, for the delivery log that its merchant reads."""
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    return _FAULTS.get(code or 0, "the certificate is not valid")
