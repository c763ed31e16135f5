namespace Hypervisor.Engine.Memory;

/// <summary>
/// What a backend's processors remember of where pages are. A page is taken from its place only after they forgot it. Called from any
/// thread, also from a processor's own while it is outside the guest.
/// </summary>
public interface IPageTranslations
{
    /// <summary>
    /// On return no processor uses what it remembered of a page before the call, and none is in the middle of an access to it: each
    /// asks <see cref="GuestPages"/> again.
    /// </summary>
    /// <param name="guestAddress">Guest-physical address of the page, a multiple of 4096.</param>
    void Forget(ulong guestAddress);

    /// <summary>As <see cref="Forget"/>, for all pages: cheaper than many of them one by one.</summary>
    void ForgetAll();
}
