"""The test world: a robot's network and a small internet, in network namespaces of their own.

To be used by root in a network namespace that has nothing in it (`unshare --net`), inside the builder root: that
namespace becomes the wires between the hosts. Nothing here can reach the machine's own network.
"""
