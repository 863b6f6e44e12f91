#!/bin/bash
# two_nodes.sh MPIEXEC PROGRAM [ARGUMENTS...]: runs PROGRAM with 4 ranks on two pretended machines, each a namespace
# with a host name of its own: MPI then sees two nodes and sends between them over TCP. Exits with 77 (skipped)
# where namespaces are not allowed.
mpiexec=$1
shift
unshare --uts true 2>/dev/null || exit 77
here=$(mktemp -d)
trap 'rm -r "$here"' EXIT
cat >"$here/agent" <<'AGENT'
#!/bin/bash
host=$1
shift
exec unshare --uts bash -c 'hostname "$1" && eval "$2"' agent "$host" "$*"
AGENT
chmod +x "$here/agent"
export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_btl_tcp_if_include=lo
"$mpiexec" --mca plm_rsh_agent "$here/agent" --host node1:2,node2:2 -n 4 --oversubscribe "$@"
