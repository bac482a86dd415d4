#pragma once

/* Copies what is below the folder `from` into the folder `to`: files, folders and links with their
 * owners, modes and times. Device nodes, fifos and sockets are left out. Follows no link. A file
 * that is there already stays as it is, so that this completes what another call did not end. */
int copy_tree(int from, int to);
