#!/bin/sh
# Stands in for a program that is diverted to the same name with .distrib: it would replace files of the boot partition that choose
# between the two root filesystems, and the device would no longer go back from a failed update.

echo "${0##*/}: the boot partition is managed for A/B updates: nothing is installed" >&2
exit 0
