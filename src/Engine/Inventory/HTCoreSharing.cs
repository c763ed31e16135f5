namespace Hypervisor.Engine.Inventory;

/// <summary>What a machine's virtual processors share physical cores with, with PowerCLI's names.</summary>
public enum HTCoreSharing
{
    /// <summary>Any machine.</summary>
    Any,
    /// <summary>Nobody.</summary>
    None,
    /// <summary>Virtual processors of the same machine.</summary>
    Internal,
}
