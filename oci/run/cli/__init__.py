"""podwright-oci: the command line (runc(8)), and nothing but words in and words out."""
